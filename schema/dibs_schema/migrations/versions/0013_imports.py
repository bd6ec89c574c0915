"""Stage large imports, so that they hold the write lock for short times and are still all or nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, which are empty."""
    op.create_table(
        "imports",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("staged_at", sa.Double(), nullable=False),
        sa.Column("first_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="imports_project_id_fkey"),
        sa.PrimaryKeyConstraint("project_id", "id", name="imports_pkey"),
    )
    op.create_table(
        "import_parts",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("import_id", sa.String(length=16), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("features", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "import_id"], ["imports.project_id", "imports.id"], name="import_parts_project_id_fkey"
        ),
        sa.PrimaryKeyConstraint("project_id", "import_id", "part", name="import_parts_pkey"),
    )
