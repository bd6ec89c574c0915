"""Mark passing features for a recheck, and let a project wait for rechecks."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the mark, which no feature has yet, its index, and the rule, which is off."""
    # As SQL, since SQLite adds no constraint to an existing table, except together with a column.
    op.execute(
        "ALTER TABLE projects ADD COLUMN rechecks VARCHAR(10) DEFAULT 'optional' NOT NULL "
        "CONSTRAINT projects_rechecks CHECK (rechecks IN ('optional', 'required'))"
    )
    number = sa.Double().compile(dialect=op.get_bind().dialect)
    op.execute(
        f"ALTER TABLE features ADD COLUMN recheck_since {number} "
        "CONSTRAINT features_recheck_since CHECK (recheck_since IS NULL OR coalesce(archived_from, status) = 'passing')"
    )
    op.create_index(
        "features_recheck",
        "features",
        ["project_id", "recheck_since", "id"],
        sqlite_where=sa.text("recheck_since IS NOT NULL"),
        postgresql_where=sa.text("recheck_since IS NOT NULL"),
    )
