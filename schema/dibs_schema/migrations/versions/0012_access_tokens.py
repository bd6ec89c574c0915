"""Store access tokens as digests, and in each event the name of the access token that its caller used."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, which is empty, with its indexes, and add the column."""
    op.create_table(
        "tokens",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("previous_digest", sa.String(64)),
        sa.Column("previous_expires_at", sa.Double()),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("agent", sa.String(100)),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("expires_at", sa.Double()),
        sa.Column("revoked_at", sa.Double()),
        sa.Column("last_used_at", sa.Double()),
        sa.CheckConstraint("role IN ('coder', 'tester', 'planner', 'viewer', 'all')", name=op.f("tokens_role")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="tokens_project_id_fkey"),
        sa.PrimaryKeyConstraint("project_id", "name", name="tokens_pkey"),
    )
    op.create_index("tokens_digest", "tokens", ["digest"])
    op.create_index(
        "tokens_previous_digest",
        "tokens",
        ["previous_digest"],
        sqlite_where=sa.text("previous_digest IS NOT NULL"),
        postgresql_where=sa.text("previous_digest IS NOT NULL"),
    )
    op.add_column("events", sa.Column("token_name", sa.String(60)))
