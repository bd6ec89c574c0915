"""Store the names of features in the form in which they are compared and searched."""

import sqlalchemy as sa
from alembic import op

from dibs_schema.folding import folded

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROWS = 1_000


def upgrade() -> None:
    """Add both columns with their indexes, and fill them."""
    op.add_column("features", sa.Column("identity", sa.String(length=32)))
    op.add_column("features", sa.Column("searched", sa.Text()))
    features = sa.table(
        "features",
        *(sa.column(name) for name in ("project_id", "id", "category", "name", "reference", "identity", "searched")),
    )
    connection = op.get_bind()
    names = [features.c[name] for name in ("project_id", "id", "category", "name", "reference")]
    rows = connection.execute(sa.select(*names)).mappings().all()
    fill = (
        sa.update(features)
        .where(features.c.project_id == sa.bindparam("of_project"), features.c.id == sa.bindparam("of_feature"))
        .values(identity=sa.bindparam("new_identity"), searched=sa.bindparam("new_text"))
    )
    values = [
        {
            "of_project": row["project_id"],
            "of_feature": row["id"],
            "new_identity": (new := folded({**row}))["identity"],
            "new_text": new["searched"],
        }
        for row in rows
    ]
    for start in range(0, len(values), ROWS):
        connection.execute(fill, values[start : start + ROWS])
    op.create_index("features_identity", "features", ["project_id", "identity"])
    op.create_index("features_searched", "features", ["project_id", "id", "searched"])
