"""Store what every worker must know, when a feature is done, and the command that proves it."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the settings, which are empty: nothing changes until a person sets one."""
    # As SQL, since SQLite adds no constraint to an existing table, except together with a column.
    op.execute(
        "ALTER TABLE projects ADD COLUMN instructions TEXT DEFAULT '' NOT NULL "
        "CONSTRAINT projects_instructions CHECK (length(instructions) <= 2000)"
    )
    for name in ("done_when", "verify_command"):
        op.add_column("projects", sa.Column(name, sa.Text(), nullable=False, server_default=sa.text("''")))
    op.add_column("projects", sa.Column("verify_seconds", sa.Integer(), nullable=False, server_default=sa.text("300")))
