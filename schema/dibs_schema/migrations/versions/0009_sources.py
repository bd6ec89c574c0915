"""Let features name the list that they were imported from."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. The next import of a list finds the features that have no source yet by their references."""
    op.add_column("features", sa.Column("source", sa.String(255)))
