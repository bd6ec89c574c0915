"""Let a project set after how many failures for the same reason a feature is stuck."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the setting with its default."""
    op.add_column("projects", sa.Column("max_same_failures", sa.Integer(), nullable=False, server_default=sa.text("3")))
