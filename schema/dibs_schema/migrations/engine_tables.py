"""The tables of `tables.py` as one engine has them: its partial indexes, and the numbering of its events."""

from sqlalchemy import BigInteger, DefaultClause, MetaData, PrimaryKeyConstraint, text

from dibs_schema.tables import metadata


def metadata_for(engine: str) -> MetaData:
    """Return a copy of the tables whose partial indexes have their predicates under the engine's name."""
    copied = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.tables.values():
        predicates = {index.name: index.info["where"] for index in table.indexes if "where" in index.info}
        for index in table.to_metadata(copied).indexes:
            if index.name in predicates:
                index.dialect_kwargs[f"{engine}_where"] = text(predicates[index.name])
    if engine == "postgresql":  # each event has the number of its transaction, since these commit out of order
        events = copied.tables["events"]
        events.c.id.type, events.c.id.autoincrement = BigInteger(), True
        events.c.project_id.primary_key = True
        events.append_constraint(PrimaryKeyConstraint("project_id", "id", name="events_pkey"))
        events.c.xact.server_default = DefaultClause(text("((pg_current_xact_id()::text)::bigint)"))
    return copied
