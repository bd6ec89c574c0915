"""Add the paths of features, and the file areas by which claims are kept apart."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the paths, which no feature has yet, and a table for the areas."""
    op.add_column("features", sa.Column("paths", sa.JSON(none_as_null=True)))
    op.create_table(
        "areas",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("feature_id", sa.Integer(), nullable=False),
        sa.Column("beginning", sa.String(length=301), nullable=False),
        sa.Column("ending", sa.String(length=300), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "feature_id"],
            ["features.project_id", "features.id"],
            name=op.f("areas_project_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("project_id", "feature_id", "beginning", "ending", name=op.f("areas_pkey")),
    )
