"""Restore: make a live backlog of a backup, in a file or on a server, and never over one that is live."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, update

from dibs.database.files import attached, copy_checked, exclusive_access, projects_in, refuse_newer
from dibs.database.project import Freeze, when
from dibs.settings import Settings
from dibs.transfer.backup import check, own_files
from dibs.transfer.backup_file import (
    exchange,
    put_in_place,
    refuse_place,
    refuse_unfinished,
    said_of,
    set_logs_aside,
    workshop,
)
from dibs.transfer.exclusive import Site, Sole
from dibs.transfer.move_project import live_claims
from dibs.transfer.project_copy import Watch, Written, counted, is_used, mark_as, write_copy
from dibs.verbs.lease import release_all
from dibs_schema.refusals import AlreadyClaimed, Busy, DatabaseDamaged, InvalidInput, Refusal
from dibs_schema.tables import HEAD, projects

RESTORED = "the backlog was restored from a backup, and the holder's claim with it"

_P = projects.c
_retire = (
    update(projects)
    .where(_P.name == bindparam("named"))
    .values(name=bindparam("retired"), moved_to=bindparam("mark"))
)
_rename = update(projects).where(_P.id == bindparam("project")).values(name=bindparam("named"))


@dataclass(slots=True)
class Restored:
    """What was restored and where to; `aside` is what was in its place, `released` whose claims were given back."""

    source: str
    made: str
    origin: str
    target: str
    project: str
    rows: dict[str, int] = field(default_factory=dict)
    released: list[int] = field(default_factory=list)
    aside: str | None = None
    unsound: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def wire(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"seconds": round(self.seconds, 2)}


def mark_of(backup: Path) -> Freeze:
    """What a backup says of itself. Raises NotFound, DatabaseDamaged, and InvalidInput where the file is none."""
    with _told_of(backup):
        marks = list(projects_in(backup).values())
    if len(marks) != 1 or marks[0] is None or marks[0].state != "backup":
        raise InvalidInput(
            f"{backup} is no backup, but a backlog of its own: name it with --db to use it. `dibs copy` moves it to "
            "another place, `dibs backup --db` makes a backup of it.",
            field="source",
        )
    return marks[0]


@contextmanager
def _told_of(backup: Path) -> Iterator[None]:
    """Say of a damaged backup what to do about a backup."""
    try:
        yield
    except DatabaseDamaged as refusal:
        says = f"{backup} is damaged, or was cut off. Nothing was restored. Try an older backup."
        raise DatabaseDamaged(says) from refusal


def restore_project(backup: Path, goal: Settings, *, force: bool, watch: Watch) -> Restored:
    """Make the project that `goal` names of a backup, as a new one: with a generation of its own, and no live claims.

    What is there already stays; with `force` it is set aside, where nobody uses it.
    Raises NotFound, InvalidInput, Busy where servers have the place open, AlreadyClaimed, DatabaseDamaged, DiskFull.
    """
    began = time.monotonic()
    mark = mark_of(backup)
    target = Site(goal)
    done = Restored(str(backup), when(mark.at), mark.label, target.label, goal.project)
    with ExitStack() as held:
        if target.file is not None:
            refuse_place(target.file)
            held.enter_context(said_of(target.file))
            _refuse_in_use(target, backup, force=force)
        beside = target.file.parent if target.file is not None else Path(tempfile.gettempdir())
        folder = held.enter_context(workshop(beside))
        copy = folder / "copy"
        refuse_newer(backup)
        with _told_of(backup):
            copy_checked(backup, copy)  # opening a database may write to it, and an older one is migrated
        source = Site(Settings(db=str(copy), project=mark.project))
        if target.file is not None and (force or not target.file.exists()):
            _as_file(source, copy, target.file, mark, done, watch)
        elif target.file is not None or not force or goal.project not in target.projects():
            _beside_others(source, target, mark, done, watch)
        else:
            _instead(source, goal, mark, done, watch)
    done.seconds = time.monotonic() - began
    return done


def _bring(
    source: Site, target: Site, mark: Freeze, done: Restored, watch: Watch, *, replacing: str | None = None
) -> Written:
    """Write the project and let it go live, in one transaction."""
    with source.reading() as here, target.writing() as there:
        if there.project.moved_to is not None or is_used(there):
            raise _occupied(target.label, there.project.name)
        written = write_copy(here, there, Freeze("copied", "", mark.project, done.source), done.target, watch)
        _refuse_unsealed(mark, written, done.source)
        done.released = release_all(there, RESTORED)
        mark_as(there, written.generation, None)
        if replacing is not None:
            done.aside = _take_the_name(there, replacing, written, done)
        there.commit()
    done.rows = written.rows
    return written


def _refuse_unsealed(mark: Freeze, written: Written, source: str) -> None:
    """Refuse what is not what was backed up; a digest says so only of the columns it was counted in."""
    if mark.seal != written.seal and mark.seal.partition(":")[0] == HEAD:
        raise DatabaseDamaged(
            f"{source} is damaged: what it holds is not what was backed up. Nothing was restored. Try an older backup."
        )


def _occupied(label: str, project: str) -> InvalidInput:
    return InvalidInput(
        f"{label} has a project {project!r} already. Nothing was changed. Name another with --project or another place "
        "with --db; --force sets what is there aside.",
        field="db",
    )


# -- a file -----------------------------------------------------------------------------------------


def _refuse_in_use(target: Site, backup: Path, *, force: bool) -> None:
    """Refuse early what would be refused at the end: before a large backup is read."""
    file = target.file
    assert file is not None, "it is a file"
    if file.exists() and not file.is_file():
        raise InvalidInput(f"{file} is no file. Name another place with --db.", field="db")
    if backup.resolve() in own_files(file):
        raise InvalidInput(f"{backup} is the backlog itself. Name the place with --db.", field="db")
    if not file.exists():
        return
    marks: dict[str, Freeze | None] = {target.name: None}
    with suppress(Refusal):  # damaged: then it is all in the way
        marks = projects_in(file)
    if force:
        with exclusive_access(file):
            pass
        others = [name for name, mark in marks.items() if name != target.name and mark is None]
        if others:
            raise InvalidInput(
                f"{file} also holds {', '.join(sorted(others))}, and is not set aside for the sake of one. Nothing was "
                "changed. Name another place with --db, or another name with --project.",
                field="db",
            )
    elif target.name in marks and (users := attached(file)):
        raise Busy(
            f"{file} is a live backlog: {', '.join(users)}. Nothing was changed. Stop the servers that use it, "
            "or name another place with --db."
        )


def _as_file(source: Site, copy: Path, file: Path, mark: Freeze, done: Restored, watch: Watch) -> None:
    """Make the copy of the backup a live backlog, check it, and put it in its place, whatever is there set aside."""
    with source.opened(), source.writing() as tx:
        written = counted(tx, watch)
        _refuse_unsealed(mark, written, done.source)
        tx.run(_rename, named=done.project)
        mark_as(tx, written.generation, None)
        done.released = release_all(tx, RESTORED)
        tx.commit()
    refuse_unfinished(copy)
    done.rows = written.rows
    watch("checking", 0, 1)
    done.unsound = check(copy, done.project, written)
    if file.exists():
        done.aside = str(exchange(copy, file))
    else:
        left = set_logs_aside(file)
        done.aside = str(left) if left is not None else None
        put_in_place(copy, file)


# -- a database with other projects -----------------------------------------------------------------


def _beside_others(source: Site, target: Site, mark: Freeze, done: Restored, watch: Watch) -> None:
    with source.opened(), target.opened():
        _bring(source, target, mark, done, watch)


def _instead(source: Site, goal: Settings, mark: Freeze, done: Restored, watch: Watch) -> None:
    """Make the project beside the old one, and give it its name in the last moment."""
    old = Site(goal)
    with old.opened(), old.reading() as tx:
        held = tx.all(live_claims)
    if held:
        some = ", ".join(f"{row['id']} by {row['claimed_by']}" for row in held[:5])
        raise AlreadyClaimed(
            f"Agents are at work on {goal.project!r} at {old.label}: {some}. Nothing was changed. Stop their servers "
            "and let them end, or restore under another name with --project.",
            ids=[row["id"] for row in held[:5]],
        )
    new = Site(goal.model_copy(update={"project": f"{goal.project[:80]} (being restored)"}))
    with source.opened(), new.opened():
        _bring(source, new, mark, done, watch, replacing=goal.project)


def _take_the_name(there: Sole, name: str, written: Written, done: Restored) -> str:
    """Give the old project another name, under which nobody writes to it, and its name to the new one."""
    retired = f"{name[:60]} (until {when(there.now)})"
    mark = Freeze("moved", written.generation, name, done.target)
    there.run(_retire, named=name, retired=retired, mark=str(mark))
    there.run(_rename, named=name)
    return retired
