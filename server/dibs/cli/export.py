"""`dibs export`: writes the backlog to a file that can be reviewed, or its states into a file that was imported."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from dibs.cli import options
from dibs.cli.escaped_text import counted
from dibs.transfer.formats.backlog import ReadOptions
from dibs.transfer.formats.export_formats import FORMATS, ExportFormat, format_of
from dibs_schema.refusals import InvalidInput

IN_MEMORY = 8_000_000
"""Bytes of an export up to which it is held in memory, and not in a temporary file, before it is printed."""


@click.command()
@click.option("--format", "name", type=click.Choice([*FORMATS]), help="[default: as FILE is called, or feature_list]")
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write to FILE; - is standard output."
)
@click.option(
    "--in-place",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Change only the states and notes in FILE, which was imported; every other byte stays.",
)
@click.option("--source", help="With --in-place: what the ids of FILE belong to, as it was imported.")
@click.option("--tag", help="With --in-place: the tag of Task Master that was imported.  [default: all]")
@click.option("--force", is_flag=True, help="Replace FILE also if it is not an export.")
@options.backlog_command
def export(
    *,
    name: str | None,
    output: Path | None,
    in_place: Path | None,
    source: str | None,
    tag: str | None,
    force: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Write all features in a form that people can review: one snapshot, in a fixed order, without times.

    Importing an export into its own backlog adds and changes nothing. With --json, what was done to FILE is JSON.
    """
    if in_place is None and (source is not None or tag is not None):
        raise InvalidInput("--source and --tag belong to --in-place: an export has all features.", field="in_place")
    if in_place is None:
        _export(format_of(name, output), None if output == Path("-") else output, flags, force=force, as_json=as_json)
    elif name is not None or output is not None or force:
        raise InvalidInput(
            "--in-place keeps the file and its format: it goes without --format, -o and --force.", field="in_place"
        )
    else:
        _export_in_place(in_place, source, ReadOptions(tag=tag), flags, as_json=as_json)


def _export(form: ExportFormat, output: Path | None, flags: dict[str, Any], *, force: bool, as_json: bool) -> None:
    from dibs.transfer.export import write_export
    from dibs.transfer.export_file import refuse_taken, save

    if output is not None:
        refuse_taken(output, force=force)
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as out:
        with options.backlog(flags, read_only=True) as database:
            done = database.read_now(lambda tx: write_export(tx, form.write, out))
            label = database.label
        out.seek(0)
        if output is None:
            _print(out, is_json=form.is_json)
        else:
            with options.ended_by_signals():
                changed = save(out, output, force=force)
            if as_json:
                options.print_json({"file": str(output), "changed": changed, **asdict(done)})
            else:
                click.echo(
                    f"{output} has {counted(done.features, 'feature')} of {label}{'' if changed else ' already'}."
                )
    if done.left_out:
        kinds = ", ".join(counted(number, what) for what, number in done.left_out.items())
        click.echo(f"dibs: not in the export: {kinds}. `dibs backup` keeps everything.", err=True)


def _export_in_place(
    file: Path, source: str | None, reading: ReadOptions, flags: dict[str, Any], *, as_json: bool
) -> None:
    from dibs.transfer.in_place import ImportedFile, states_of
    from dibs.transfer.sources import source_of

    imported = ImportedFile.open(file, reading)
    backlog, features = imported.backlog, imported.backlog.features
    given = source or backlog.source or source_of(file)
    with options.backlog(flags, read_only=True) as database:
        states = database.read_now(lambda tx: states_of(tx, backlog, given, named=source is not None))
        label = database.label
    edited = imported.with_states(states)
    if not edited.known:
        raise InvalidInput(
            f"No feature of {file} is in {label}. Nothing was changed. `dibs import` adds them, and `dibs export -o` writes "
            "a new file.",
            field="in_place",
        )
    with options.ended_by_signals():
        imported.write(edited)
    missing = len(features) - edited.known
    if as_json:
        found = {"features": len(features), "changed": edited.changed, "missing": missing, "unsaid": edited.unsaid}
        options.print_json({"file": str(file), **found})
        return
    click.echo(f"{counted(edited.changed, 'feature')} of {len(features)} changed in {file}.")
    if missing:
        click.echo(f"dibs: left as they were, since they are not in {label}: {counted(missing, 'feature')}.", err=True)
    if edited.unsaid:
        click.echo(
            f"dibs: left as they were, without a field for the state: {counted(edited.unsaid, 'feature')}.", err=True
        )


def _print(lines: Iterable[bytes], *, is_json: bool) -> None:
    """Print an export. Characters that the terminal lacks become JSON escapes, so JSON stays valid."""
    escape = is_json and not options.is_unicode(sys.stdout)
    for line in lines:
        text = line.decode()
        click.echo(_escaped(text) if escape else text, nl=False)


def _escaped(line: str) -> str:
    return "".join(one if one.isascii() else json.dumps(one)[1:-1] for one in line)
