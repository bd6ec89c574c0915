"""The tables as one engine is to have them: what `tables.py` says of all, in that engine's own words."""

from sqlalchemy import MetaData, text

from dibs_schema.tables import metadata


def metadata_for(engine: str) -> MetaData:
    """A copy of the tables whose partial indexes have their predicate under the engine's name."""
    copied = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.tables.values():
        predicates = {index.name: index.info["where"] for index in table.indexes if "where" in index.info}
        for index in table.to_metadata(copied).indexes:
            if index.name in predicates:
                index.dialect_kwargs[f"{engine}_where"] = text(predicates[index.name])
    return copied
