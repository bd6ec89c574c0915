"""`dibs import`: bring in the backlog of another tool, and say what became of each part of it."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dibs.cli import options
from dibs.cli.escaped_text import counted, one_line, values_on_one_line
from dibs.cli.found_backlogs import choose_backlogs
from dibs.cli.transfer import progress_bar
from dibs_schema.answers import CLAIMED, NEEDS_FORCE, NOT_ASKED
from dibs_schema.refusals import InvalidInput, NotFound
from dibs_schema.status import Status

if TYPE_CHECKING:
    from dibs.transfer.comparison import Comparison, Difference
    from dibs.transfer.formats import Backlog, ReadOptions
    from dibs.transfer.importer import Import
    from dibs.transfer.take_differences import Kept
    from dibs_schema.answers import Imported

SHOWN_GONE = 10
SHOWN_VALUE = 60
REASONS = {
    NOT_ASKED: "kept as here; --update takes what the file says",
    CLAIMED: "kept, because an agent has claimed the feature",
    NEEDS_FORCE: "kept, because they would take back a pass, or a question of an agent; --force does",
}


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--github", metavar="OWNER/REPO", help="Instead of FILE: the repository's issues, which `gh` lists.")
@click.option("--source", help="What the ids of FILE belong to.  [default: what FILE says, else its path]")
@click.option(
    "--update", is_flag=True, help="Take from FILE what differs, except where an agent has claimed the feature."
)
@click.option("--force", is_flag=True, help="With --update, also take back passing features and questions of agents.")
@click.option("--dry-run", is_flag=True, help="Say what the import would do, and change nothing.")
@click.option("--verbose", "-v", is_flag=True, help="List each difference.")
@click.option("--status", "words", multiple=True, metavar="WORD=STATUS", help="Give a status word of FILE a meaning.")
@click.option("--drop-unknown", is_flag=True, help="Leave out dependencies on features that FILE does not have.")
@click.option("--highest-first", is_flag=True, help="In FILE a larger priority is more urgent.")
@click.option("--tag", help="Of a Task Master file, import the tasks of this tag alone.")
@click.option("--subtasks", type=click.Choice(["steps", "features"]), default="steps", help="What subtasks become.")
@options.backlog_command
def import_file(
    file: Path | None,
    *,
    github: str | None,
    source: str | None,
    update: bool,
    force: bool,
    dry_run: bool,
    verbose: bool,
    words: tuple[str, ...],
    drop_unknown: bool,
    highest_first: bool,
    tag: str | None,
    subtasks: str,
    as_json: bool,
    **flags: Any,
) -> None:
    """Import FILE, the backlog of another tool, completely or not at all; without FILE, list what the repository has.

    FILE is a feature list (JSON, JSON Lines or CSV), a Markdown checklist (spec-kit, Kiro, OpenSpec, TODO.md), a file of
    beads, Task Master, ralph, shrimp, GitHub, Linear, Jira, AutoForge or hermes-agent, a folder of Backlog.md or of Claude
    Code Tasks, or - for standard input.
    Features keep their ids as references, so a second import of a file adds only new features. Where the others differ
    from the file, it says so, and changes them only with --update.
    """
    from dibs.transfer.formats import ReadOptions

    if github is not None and file is not None:
        raise InvalidInput("--github takes the place of FILE. Give one of them.", field="github")
    if force and not update:
        raise InvalidInput("--force requires --update.", field="force")
    reading = ReadOptions(
        statuses=_statuses(words),
        drop_unknown=drop_unknown,
        highest_first=highest_first,
        tag=tag,
        subtasks_as_features=subtasks == "features",
    )
    how = {"update": update, "force": force, "dry_run": dry_run, "verbose": verbose, "as_json": as_json}
    if github is not None:
        from dibs.transfer.github import listed_issues, source_name

        with listed_issues(github) as issues:
            _import_file(issues, reading, source or source_name(github), flags, **how)
        return
    files = [file] if file is not None else choose_backlogs(reading, as_json=as_json)
    if source is not None and len(files) > 1:
        raise InvalidInput("--source names one list. Import the files one after the other.", field="source")
    for one in files:
        _import_file(one, reading, source, flags, **how)


def _import_file(
    file: Path, reading: ReadOptions, source: str | None, flags: dict[str, Any], *, update: bool, force: bool,
    dry_run: bool, verbose: bool, as_json: bool,
) -> None:  # fmt: skip
    from dibs.database import file_driver
    from dibs.transfer.formats import read_backlog
    from dibs.transfer.importer import Import
    from dibs.transfer.sources import source_of

    with progress_bar("reading the file"), _without_collections():
        found = read_backlog(file, file_driver(), reading)
    one = Import(found, source or found.source or source_of(file), named=source is not None, update=update, force=force)
    comparison, done, kept, place = _dry_run(one, flags) if dry_run else _run(one, flags)
    listed = comparison.differences if verbose else ()
    if as_json:
        options.print_json(_as_json(found, done, kept, listed) | {"dry_run": dry_run})
        return
    if dry_run:
        click.echo("Nothing is changed by a dry run. Without --dry-run:")
    click.echo(
        f"{counted(done.added, 'feature')} added to {place}, {done.present} existed ({found.format}, as "
        f"{one_line(comparison.source)})."
    )
    _print_differences(done)
    _list_differences(listed, kept)
    _print_report(found)


@contextmanager
def _without_collections() -> Iterator[None]:
    """Suspend garbage collection: it would visit the millions of long-lived objects of a large file."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # later collections take place while others wait for the write lock
        gc.enable()


def _statuses(words: Iterable[str]) -> Mapping[str, Status]:
    from dibs.transfer.formats.vocabulary import snake

    known = [one.value for one in Status if one is not Status.IN_PROGRESS]
    found = {}
    for given in words:
        word, _, status = given.rpartition("=")
        if status not in known or not snake(word):
            raise InvalidInput(
                f"--status {one_line(given)}: write WORD=STATUS, with {', '.join(known)}.", field="status"
            )
        found[snake(word)] = Status(status)
    return found


def _run(one: Import, flags: dict[str, Any]) -> tuple[Comparison, Imported, list[Kept], str]:
    from dibs.transfer.run_import import run_import

    with options.backlog(flags, make=True) as database, progress_bar("comparing") as progress:
        return *run_import(database, one, progress), database.label


def _dry_run(one: Import, flags: dict[str, Any]) -> tuple[Comparison, Imported, list[Kept], str]:
    """Compare without writing anything. A backlog that does not exist is not created, and has no features."""
    from dibs.transfer.comparison import Comparison
    from dibs.transfer.importer import summary

    place = "a new backlog"
    try:
        with options.backlog(flags, read_only=True) as database, progress_bar("comparing"):
            comparison, place = database.read_now(one.compare), database.label
    except NotFound:
        comparison = Comparison(one.source, new=one.backlog.features)
    kept = one.would_keep(comparison)
    return comparison, summary(comparison, kept), kept, place


def _as_json(found: Backlog, done: Imported, kept: Iterable[Kept], differences: Iterable[Difference]) -> dict[str, Any]:
    report = {name: getattr(found, name) for name in ("format", "unknown", "mapped", "texts", "ignored", "warnings")}
    reasons = _reasons(kept)
    listed = [one._asdict() | {"kept": reasons.get((one.feature, one.field))} for one in differences]
    return done.wire() | report | {"differences": listed}


def _reasons(kept: Iterable[Kept]) -> dict[tuple[int, str], str]:
    return {(one.difference.feature, one.difference.field): one.reason for one in kept}


def _print_differences(done: Imported) -> None:
    """Print which fields differ in how many features, which changes were taken, and why the others were not."""
    if done.differing:
        fields = ", ".join(f"{count} differ in {name}" for name, count in done.differing.items())
        click.echo(f"{done.present} present: {fields}.")
    if done.taken:
        click.echo(f"{counted(done.taken, 'difference')} taken from the file.")
    for reason, count in done.kept.items():
        click.echo(f"{counted(count, 'difference')} {REASONS[reason]}.")
    if done.gone:
        names = ", ".join(one_line(one) for one in done.gone[:SHOWN_GONE])
        more = f" and {len(done.gone) - SHOWN_GONE} more" if len(done.gone) > SHOWN_GONE else ""
        click.echo(
            f"No longer in the file: {names}{more}. They stay; `dibs update ID --archive` takes one out of the work."
        )


def _list_differences(differences: Iterable[Difference], kept: Iterable[Kept]) -> None:
    reasons = _reasons(kept)
    for one in differences:
        reason = reasons.get((one.feature, one.field))
        click.echo(
            f"  {one.feature} ({one_line(one.reference)}) {one.field}: {_short(one.here)} here, {_short(one.there)} in the "
            f"file{f' ({reason})' if reason else ''}"
        )


def _short(value: object) -> str:
    text = values_on_one_line(value) if value not in (None, [], "") else "nothing"
    return text if len(text) <= SHOWN_VALUE else f"{text[:SHOWN_VALUE]}…"


def _print_report(found: Backlog) -> None:
    """Print what became of the parts of the file, beginning with the words that were not recognized."""
    for warning in found.warnings:
        click.echo(f"dibs: {warning}", err=True)
    for title, lines in (
        ("Unknown words, whose meaning --status WORD=passing gives", found.unknown),
        ("Mapped", found.mapped),
        ("Became text, or was cut", found.texts),
        ("Ignored", found.ignored),
    ):
        if lines:
            click.echo(f"{title}:")
            click.echo("\n".join(f"  {line}" for line in lines))
