"""Order events for followers, record where a project has moved, and tune PostgreSQL for tables that change often."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `events.xact` and `projects.moved_to`; on PostgreSQL also widen the events' ids, and vacuum more often."""
    on_postgres = op.get_bind().dialect.name == "postgresql"
    numbered = sa.text("((pg_current_xact_id()::text)::bigint)") if on_postgres else sa.text("0")
    op.add_column("events", sa.Column("xact", sa.BigInteger(), nullable=False, server_default=numbered))
    op.create_index("events_in_order", "events", ["project_id", "xact", "id"])
    op.add_column("projects", sa.Column("moved_to", sa.String(length=500)))
    if on_postgres:
        _suit_postgres()


def _suit_postgres() -> None:
    op.alter_column("events", "id", type_=sa.BigInteger())
    op.execute("ALTER SEQUENCE events_id_seq AS bigint")
    op.drop_constraint("events_pkey", "events", type_="primary")
    op.create_primary_key("events_pkey", "events", ["project_id", "id"])
    # A claim leaves a dead entry at the head of the queue's index. The tables have few rows that change often, so
    # autovacuum must count dead rows, not their share. Free space in each page keeps many updates off the indexes.
    op.execute(
        "ALTER TABLE features SET (fillfactor = 70, autovacuum_vacuum_threshold = 500, "
        "autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0, "
        "autovacuum_analyze_threshold = 500, autovacuum_analyze_scale_factor = 0.02)"
    )
    op.execute(
        "ALTER TABLE projects SET (fillfactor = 50, autovacuum_vacuum_threshold = 200, "
        "autovacuum_vacuum_scale_factor = 0)"
    )
    op.execute("ALTER TABLE events SET (autovacuum_vacuum_insert_scale_factor = 0.05)")
    op.execute("ALTER TABLE requests SET (autovacuum_vacuum_scale_factor = 0.05)")
