"""Store the names of features in the form in which they are compared and searched."""

import sqlalchemy as sa
from alembic import op

from dibs_schema.folding import folded

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROWS = 1_000
"""The number of rows that are read and filled at a time."""


def upgrade() -> None:
    """Add both columns with their indexes, and fill them."""
    op.add_column("features", sa.Column("name_digest", sa.String(length=32)))
    op.add_column("features", sa.Column("search_text", sa.Text()))
    given, added = ("category", "name", "reference"), ("name_digest", "search_text")
    table = sa.table("features", *(sa.column(name) for name in ("project_id", "id", *given, *added)))
    key = (table.c.project_id, table.c.id)
    batch = sa.select(*key, *(table.c[name] for name in given)).order_by(*key).limit(ROWS)
    fill = (
        sa.update(table)
        .where(table.c.project_id == sa.bindparam("of_project"), table.c.id == sa.bindparam("of_feature"))
        .values({name: sa.bindparam(f"new_{name}") for name in added})
    )
    connection = op.get_bind()
    rows = connection.execute(batch).mappings().all()
    while rows:
        values = [
            {"of_project": row["project_id"], "of_feature": row["id"]}
            | {f"new_{name}": value for name, value in folded({**row}).items()}
            for row in rows
        ]
        connection.execute(fill, values)
        last = sa.tuple_(sa.literal(rows[-1]["project_id"]), sa.literal(rows[-1]["id"]))
        rows = connection.execute(batch.where(sa.tuple_(*key) > last)).mappings().all()
    op.create_index("features_name_digest", "features", ["project_id", "name_digest"])
    op.create_index("features_search_text", "features", ["project_id", "id", "search_text"])
