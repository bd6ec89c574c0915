"""Let features wait for the answer to a question."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, which is empty, with its index, and the index of the open questions."""
    op.create_table(
        "waits",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("question_id", sa.Integer(), nullable=False),
        sa.Column("feature_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "question_id"],
            ["questions.project_id", "questions.id"],
            name="waits_project_id_fkey",
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "feature_id"], ["features.project_id", "features.id"], name="waits_feature_id_fkey"
        ),
        sa.PrimaryKeyConstraint("project_id", "question_id", "feature_id", name="waits_pkey"),
    )
    op.create_index("waits_of_feature", "waits", ["project_id", "feature_id", "question_id"])
    op.create_index(
        "questions_open",
        "questions",
        ["project_id", "id"],
        sqlite_where=sa.text("answered_at IS NULL"),
        postgresql_where=sa.text("answered_at IS NULL"),
    )
