"""Let a project require evidence of a pass, and its confirmation by another agent."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both rules, each off, and the columns of a pass that waits for confirmation."""
    # As SQL, since SQLite adds no constraint to an existing table, except together with a column.
    op.execute(
        "ALTER TABLE projects ADD COLUMN require_evidence VARCHAR(10) DEFAULT 'off' NOT NULL "
        "CONSTRAINT projects_require_evidence CHECK (require_evidence IN ('off', 'summary', 'command'))"
    )
    op.execute(
        "ALTER TABLE projects ADD COLUMN verifier VARCHAR(10) DEFAULT 'anyone' NOT NULL "
        "CONSTRAINT projects_verifier CHECK (verifier IN ('anyone', 'other'))"
    )
    op.add_column("features", sa.Column("unconfirmed_since", sa.Double()))
    op.add_column("features", sa.Column("confirmed_by", sa.String(length=100)))
    op.create_index(
        "features_unconfirmed",
        "features",
        ["project_id", "unconfirmed_since", "id"],
        sqlite_where=sa.text("unconfirmed_since IS NOT NULL"),
        postgresql_where=sa.text("unconfirmed_since IS NOT NULL"),
    )
