"""`dibs import`: add the features of a backlog that another tool kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dibs.cli.options import backlog, looks_at_backlog, print_json
from dibs_schema.refusals import InvalidInput


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@looks_at_backlog
def import_file(file: Path, *, as_json: bool, **flags: Any) -> None:
    """Import FILE (feature_list.json, JSON Lines, or AutoForge's features.db), completely or not at all.

    Features keep their ids as references, so a second import of a file adds only new features.
    """
    from dibs.database import file_driver
    from dibs.transfer.formats import read_backlog
    from dibs.transfer.importer import import_features

    with backlog(flags, make=True) as database:
        if file.exists() and database.file and database.file.exists() and file.samefile(database.file):
            raise InvalidInput(f"{file} is the backlog itself. Name the file to import from.", field="file")
        found = read_backlog(file, file_driver())
        done = database.write_now(lambda tx: import_features(tx, found.features))
        place = database.label
    if as_json:
        print_json(done.wire() | {"source": found.source, "mapped": found.mapped, "ignored": found.ignored})
        return
    click.echo(f"{done.added} features added to {place}, {done.present} were there already ({found.source}).")
    for title, lines in (("Mapped", found.mapped), ("Ignored", found.ignored)):
        if lines:
            click.echo(f"{title}:")
            click.echo("\n".join(f"  {line}" for line in lines))
