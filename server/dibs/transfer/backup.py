"""Backup: a project as it is at one moment, in a file of its own, while agents go on writing."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from dibs.database.files import copy_snapshot, projects_in, refuse_newer
from dibs.database.project import Freeze, frozen
from dibs.queries.audit import audit
from dibs.settings import Settings
from dibs.transfer.backup_file import (
    bring_over,
    is_backup_name,
    place_to_make,
    put_in_place,
    refuse_unfinished,
    said_of,
    workshop,
)
from dibs.transfer.exclusive import Site, Sole
from dibs.transfer.project_copy import (
    Watch,
    Written,
    claims_kept,
    counted,
    look_for,
    mark_as,
    refuse_unknown,
    write_copy,
)
from dibs.transfer.row_copy import count_rows, remove_others
from dibs_schema.refusals import DatabaseDamaged, InvalidInput, Refusal


@dataclass(slots=True)
class BackedUp:
    """What was backed up, and where to; `unsound` names checks of `dibs doctor` that fail on it, as on its source."""

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

    def wire(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"seconds": round(self.seconds, 2)}


def back_up(source: Site, target: Path, *, force: bool, watch: Watch) -> BackedUp:
    """Write the project as one snapshot has it into a file of its own, check it, and name it `target`.

    Nobody is held up: what is read is a snapshot, and of a file it is copied page by page in one go. The backup appears
    whole or not at all; a file that is there stays, unless `force` says otherwise, and a live backlog in any case.
    Raises NotFound, InvalidInput, DatabaseReplaced where the project is not live, DatabaseDamaged, DiskFull, ReadOnly.
    """
    began = time.monotonic()
    target = target.absolute()
    _refuse_taken(source, target, force=force)
    done = BackedUp(source.label, source.name, str(target))
    with ExitStack() as held:
        held.enter_context(said_of(target))
        folder = held.enter_context(workshop(target.parent))
        here = place_to_make(target.parent)
        made = (folder if here == target.parent else held.enter_context(workshop(here))) / "backup"
        if source.file is not None:
            written = _from_file(source, source.file, made, done, watch)
        else:
            written = _from_server(source, made, done, watch)
        done.rows, done.digest = written.rows, written.digest
        watch("checking", 0, 0)
        done.unsound = check(made, source.name, written)
        put_in_place(bring_over(made, folder), target, replace=force)
    done.bytes = target.stat().st_size
    done.seconds = time.monotonic() - began
    return done


def _from_file(source: Site, file: Path, made: Path, done: BackedUp, watch: Watch) -> Written:
    """Copy the file, and make a backup of the copy: agents at the file notice nothing of what takes its time."""
    refuse_unknown(source, projects_in(file) if file.exists() else ())
    refuse_newer(file)
    at = time.time()
    watch("copying", 0, 1)
    copy_snapshot(file, made)
    there = Site(Settings(db=str(made), project=source.name))
    with there.opened(), there.writing() as tx:
        mark = _mark(tx, source, at)
        shared = remove_others(tx)
        written = counted(tx, watch)
        _finish(tx, mark, written, done)
    refuse_unfinished(made)
    if shared:  # what was removed still stands in free pages
        copy_snapshot(made, made.with_name("alone"))
        made.with_name("alone").replace(made)
    return written


def _from_server(source: Site, made: Path, done: BackedUp, watch: Watch) -> Written:
    """Read one snapshot row by row into a file, and compare."""
    look_for(source)
    there = Site(Settings(db=str(made), project=source.name))
    with source.opened(), there.opened(), source.reading() as here, there.writing() as tx:
        mark = _mark(here, source, here.now)
        written = write_copy(here, tx, mark, "the backup", watch)
        _finish(tx, mark, written, done)
    refuse_unfinished(made)
    return written


def _mark(here: Sole, source: Site, at: float) -> Freeze:
    """What the backup will say of itself. Raises DatabaseReplaced where the project is not live."""
    if here.project.moved_to is not None:
        raise frozen(here.project.name, Freeze.read(here.project.moved_to))
    return Freeze("backup", here.project.generation, here.project.name, source.label, at)


def _finish(tx: Sole, mark: Freeze, written: Written, done: BackedUp) -> None:
    """Let the rows say that they are a backup, and of what; no trace is left of who wrote it."""
    mark_as(tx, written.generation, replace(mark, seal=written.seal))
    done.claims = int(tx.value(claims_kept))
    tx.commit(introduced=False)


def check(file: Path, project: str, written: Written) -> list[str]:
    """Look at a file that was written and closed, as who opens it will find it; returns what is unsound in its rows.

    Raises DatabaseDamaged where it is not what was written, or not sound as a file.
    """
    site = Site(Settings(db=str(file), project=project))
    with site.opened():
        bad = [one.says for one in site.check_health() if one.level == "error"]
        with site.reading() as tx:
            missing = sum(written.rows.values()) - 1 - count_rows(tx)  # the project's own row is not counted
            found = audit(tx)
    refuse_unfinished(file)
    if bad or missing > 0:
        raise DatabaseDamaged(
            f"What was written is not what can be read again: {'; '.join(bad) or f'{missing} rows are missing'}. "
            "It was taken back. Check the disk, or name another place."
        )
    return found.unsound


def _refuse_taken(source: Site, target: Path, *, force: bool) -> None:
    """Refuse to write over anything but, with `force`, another backup or what is no backlog at all."""
    if source.file is not None and target.resolve() in own_files(source.file):
        raise InvalidInput(f"{target} is the backlog itself. Name another file.", field="target")
    if not target.exists():
        return
    if not target.is_file():
        raise InvalidInput(f"{target} is no file. Name another one.", field="target")
    if not force:
        raise InvalidInput(
            f"{target} exists already, and is left as it is. Name another file, or replace it with --force.",
            field="target",
        )
    try:
        live = [name for name, mark in projects_in(target).items() if mark is None]
    except Refusal:  # damaged, or no backlog: whoever says --force may replace it
        return
    if live:
        raise InvalidInput(
            f"{target} is a live backlog, which no backup replaces. Name another file.", field="target"
        )


def own_files(database: Path) -> set[Path]:
    """A database's file and those that belong to it."""
    return {Path(f"{database}{more}") for more in ("", "-wal", "-shm", "-journal", ".lock")}


def rotate(folder: Path, name: str, done: BackedUp, keep: int) -> None:
    """Remove all but the newest `keep` backups of the same project that were named by `backup_name`; notes which.

    What another database was backed up to, or somebody else put there, is left alone.
    """
    mine = sorted(one for one in folder.iterdir() if is_backup_name(one.name, name))
    mine = [one for one in mine if _is_of(one, done)]
    for old in mine[:-keep]:
        old.unlink(missing_ok=True)
        done.removed.append(str(old))


def _is_of(file: Path, done: BackedUp) -> bool:
    try:
        mark = projects_in(file).get(done.project)
    except Refusal:
        return False
    return mark is not None and (mark.state, mark.label) == ("backup", done.source)
