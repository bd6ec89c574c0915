"""Backup: writes one snapshot of a project to a separate file, while agents continue to write."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from dibs.database.file_inspection import copy_snapshot, projects_in, refuse_newer
from dibs.database.project_row import Freeze, frozen
from dibs.queries.audit import audit
from dibs.regular_file import refuse_irregular
from dibs.settings import Settings
from dibs.transfer import atomic_file, project_rows
from dibs.transfer.bulk import BulkDatabase, BulkTransaction, refuse_unknown
from dibs.transfer.project_rows import Progress, ProjectDigest
from dibs_schema.refusals import DatabaseDamaged, InvalidInput, Refusal


@dataclass(slots=True)
class BackedUp:
    """The result of a backup. `unsound` names the checks of `dibs doctor` that fail on it, as on its source."""

    source: str
    project: str
    file: str
    rows: dict[str, int] = field(default_factory=dict)
    claims: int = 0
    digest: str = ""
    bytes: int = 0
    seconds: float = 0.0
    unsound: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def back_up(source: BulkDatabase, target: Path, *, force: bool, progress: Progress) -> BackedUp:
    """Write a snapshot of the project to a new file, check it, and give it the name `target`.

    Writers are not blocked. The backup appears whole or not at all. `force` replaces an existing backup, and nothing
    else.
    Raises NotFound, InvalidInput, DatabaseReplaced if the project is not live, DatabaseDamaged, DiskFull, ReadOnly.
    """
    began = time.monotonic()
    target = target.absolute()
    _refuse_taken(source, target, force=force)
    done = BackedUp(source.label, source.name, str(target))
    with ExitStack() as stack:
        stack.enter_context(atomic_file.errors_named(target))
        folder = stack.enter_context(atomic_file.partial_folder(target.parent))
        place = atomic_file.build_folder(target.parent)
        made = (folder if place == target.parent else stack.enter_context(atomic_file.partial_folder(place))) / "backup"
        if source.file is not None:
            written = _from_file(source, source.file, made, done, progress)
        else:
            written = _from_server(source, made, done, progress)
        done.rows, done.digest = written.rows, written.digest
        progress("checking", 0, 0)
        done.unsound = check(made, source.name, written)
        atomic_file.put_in_place(atomic_file.copy_into(folder, made), target, replace=force)
    done.bytes = target.stat().st_size
    done.seconds = round(time.monotonic() - began, 2)
    return done


def _from_file(source: BulkDatabase, file: Path, made: Path, done: BackedUp, progress: Progress) -> ProjectDigest:
    """Copy the file in one read, and do the slow work on the copy, where it delays no agent."""
    refuse_unknown(source, projects_in(file) if file.exists() else ())
    refuse_newer(file)
    at = time.time()
    progress("copying", 0, 1)
    copy_snapshot(file, made)
    there = BulkDatabase(Settings(db=str(made), project=source.name))
    with there.opened(), there.writing() as tx:
        mark = _mark_of(tx, source, at)
        shared = project_rows.remove_others(tx)
        written = project_rows.digest_of(tx, progress)
        _finish(tx, mark, written, done)
    atomic_file.refuse_unfinished(made)
    if shared:  # free pages still hold the deleted rows
        copy_snapshot(made, made.with_name("alone"))
        made.with_name("alone").replace(made)
    return written


def _from_server(source: BulkDatabase, made: Path, done: BackedUp, progress: Progress) -> ProjectDigest:
    refuse_unknown(source, source.projects())
    there = BulkDatabase(Settings(db=str(made), project=source.name))
    with source.opened(), there.opened(), source.reading() as here, there.writing() as tx:
        mark = _mark_of(here, source, here.now)
        written = project_rows.write_copy(here, tx, mark, "the backup", progress)
        _finish(tx, mark, written, done)
    atomic_file.refuse_unfinished(made)
    return written


def _mark_of(here: BulkTransaction, source: BulkDatabase, at: float) -> Freeze:
    """Return the mark of a backup of this project. Raises DatabaseReplaced if the project is not live."""
    if here.project.moved_to is not None:
        raise frozen(here.project.name, Freeze.read(here.project.moved_to))
    return Freeze("backup", here.project.generation, here.project.name, source.label, at)


def _finish(tx: BulkTransaction, mark: Freeze, written: ProjectDigest, done: BackedUp) -> None:
    project_rows.set_mark(tx, written.generation, replace(mark, seal=written.seal))
    done.claims = int(tx.value(project_rows.count_claims))
    tx.commit(introduced=False)


def check(file: Path, project: str, written: ProjectDigest) -> list[str]:
    """Open a finished file, and return the checks of `dibs doctor` that fail on its rows.

    Raises DatabaseDamaged if the file is damaged, or if rows are missing.
    """
    database = BulkDatabase(Settings(db=str(file), project=project))
    with database.opened():
        bad = [one.says for one in database.check_health() if one.level == "error"]
        with database.reading() as tx:
            # The project's own row is not counted.
            missing = sum(written.rows.values()) - 1 - project_rows.count_rows(tx)
            found = audit(tx)
    atomic_file.refuse_unfinished(file)
    if bad or missing > 0:
        raise DatabaseDamaged(
            f"The written file differs from what was read: {'; '.join(bad) or f'{missing} rows are missing'}. "
            "It was removed. Check the disk, or name another place."
        )
    return found.failed_checks


def _refuse_taken(source: BulkDatabase, target: Path, *, force: bool) -> None:
    """Refuse to overwrite a file; with `force`, refuse to overwrite anything but a backup."""
    refuse_irregular(target, "target")
    if source.file is not None and target.resolve() in own_files(source.file):
        raise InvalidInput(f"{target} is the backlog itself. Name another file.", field="target")
    if not target.exists():
        return
    if not force:
        raise atomic_file.name_taken(target)
    try:
        marks = list(projects_in(target).values())
    except (DatabaseDamaged, InvalidInput):
        marks = []
    if None in marks:
        raise InvalidInput(f"{target} is a live backlog, which no backup replaces. Name another file.", field="target")
    if [mark.state for mark in marks if mark is not None] != ["backup"]:
        raise InvalidInput(
            f"{target} is not a Dibs backup; --force overwrites only Dibs backups. Nothing was changed. Name another file.",
            field="target",
        )


def own_files(database: Path) -> set[Path]:
    """Return the paths of a database's file and of the files that belong to it."""
    return {Path(f"{database}{suffix}") for suffix in ("", "-wal", "-shm", "-journal", ".lock")}


def backup_name(of: str) -> str:
    """Return a name with the current time for a backup of a file or project of that name."""
    return f"{_safe_name(of)}.{atomic_file.time_stamp()}.backup"


def _safe_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def rotate(folder: Path, name: str, done: BackedUp, keep: int) -> None:
    """Delete all but the newest `keep` backups of the same source, and record the deleted ones in `done`.

    Only files that `backup_name` named are deleted; backups of other databases stay.
    """
    ours = re.compile(rf"{re.escape(_safe_name(name))}\.\d{{8}}T\d{{6}}\.\d{{3}}Z\.backup")
    named = sorted(one for one in folder.iterdir() if ours.fullmatch(one.name))
    for old in [one for one in named if _has_source(one, done)][:-keep]:
        old.unlink(missing_ok=True)
        done.removed.append(str(old))


def _has_source(file: Path, done: BackedUp) -> bool:
    try:
        mark = projects_in(file).get(done.project)
    except Refusal:
        return False
    return mark is not None and (mark.state, mark.label) == ("backup", done.source)
