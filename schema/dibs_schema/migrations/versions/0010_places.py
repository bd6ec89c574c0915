"""Store the places of features with the same priority, so that a feature moves before another one by its own row."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

READY = "status = 'pending' AND unmet_dependencies = 0"
INDEXES: dict[str, tuple[list[str | sa.TextClause], str]] = {
    "features_ready_by_priority": (
        ["project_id", "skips", "priority", "place", "id", "not_before", "category"],
        READY,
    ),
    "features_ready_by_critical_path": (
        ["project_id", "skips", sa.text("height DESC"), "priority", "place", "id", "not_before", "category"],
        f"{READY} AND height IS NOT NULL",
    ),
    "features_priority": (["project_id", "priority", "place"], "priority > -1000000000000"),
}


def upgrade() -> None:
    """Add the places, in the order of the ids, and put them into the indexes of the queue."""
    op.add_column("features", sa.Column("place", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    op.execute("UPDATE features SET place = CAST(id AS BIGINT) * 1048576")  # the gap of new features
    for name, (columns, where) in INDEXES.items():
        op.drop_index(name, "features")
        op.create_index(name, "features", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
