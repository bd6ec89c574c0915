"""Restore: makes a live project from a backup, in a file or on a server, and never overwrites a live one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import bindparam, update

from dibs.database import file_inspection
from dibs.database.project_row import Freeze, called, when
from dibs.settings import Settings
from dibs.transfer import atomic_file
from dibs.transfer.backup import check, own_files
from dibs.transfer.bulk import BulkDatabase
from dibs.transfer.copy import live_claims
from dibs.transfer.project_rows import Progress, ProjectDigest, digest_of, is_used, set_mark, write_copy
from dibs.verbs.lease import release_all
from dibs_schema.refusals import AlreadyClaimed, Busy, DatabaseDamaged, InvalidInput, Refusal
from dibs_schema.tables import HEAD, projects

RELEASE_REASON = "the backlog was restored from a backup, which ended the claim"

_P = projects.c
_retire = (
    update(projects).where(_P.name == bindparam("named")).values(name=bindparam("retired"), moved_to=bindparam("mark"))
)
_rename = update(projects).where(_P.id == bindparam("project")).values(name=bindparam("named"))


@dataclass(slots=True)
class Restored:
    """The result of a restore.

    `aside` is the new name of the file that was at the target before; `released` lists the features whose claims ended.
    """

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


def mark_of(backup: Path) -> Freeze:
    """Return the mark of a backup. Raises NotFound, DatabaseDamaged, and InvalidInput if the file is not a backup."""
    with _damage_named(backup):
        marks = list(file_inspection.projects_in(backup).values())
    if len(marks) != 1 or marks[0] is None or marks[0].state != "backup":
        raise InvalidInput(
            f"{backup} is not a backup but a backlog: name it with --db to use it. `dibs copy` moves it to another "
            "database, `dibs backup --db` makes a backup of it.",
            field="source",
        )
    return marks[0]


@contextmanager
def _damage_named(backup: Path) -> Iterator[None]:
    try:
        yield
    except DatabaseDamaged as refusal:
        message = (
            f"{backup} is not a backup, or it is damaged or incomplete. Nothing was restored. Try an older backup."
        )
        raise DatabaseDamaged(message) from refusal


def restore_project(backup: Path, goal: Settings, *, force: bool, progress: Progress) -> Restored:
    """Make the project that `goal` names from a backup, with a new generation and without live claims.

    An existing project is refused; `force` sets it aside unless a process or an agent uses it.
    Raises NotFound, InvalidInput, Busy if servers use the target, AlreadyClaimed, DatabaseDamaged, DiskFull.
    """
    began = time.monotonic()
    mark = mark_of(backup)
    target = BulkDatabase(goal)
    file = target.file
    done = Restored(str(backup), when(mark.at), mark.label, target.label, goal.project)
    with ExitStack() as stack:
        if file is not None:
            file_inspection.refuse_unsafe(file)
            stack.enter_context(atomic_file.errors_named(file))
            _refuse_in_use(target, file, backup, force=force)
        parent = file.parent if file is not None else Path(tempfile.gettempdir())
        copy = stack.enter_context(atomic_file.partial_folder(parent)) / "copy"
        file_inspection.refuse_newer(backup)
        with _damage_named(backup):
            file_inspection.copy_checked(backup, copy)  # opening may change a database: it migrates an older one
        source = BulkDatabase(Settings(db=str(copy), project=mark.project))
        if file is not None and (force or not file.exists()):
            _as_file(source, copy, file, mark, done, progress)
        elif file is not None or not force or goal.project not in target.projects():
            with source.opened(), target.opened():
                _into(source, target, mark, done, progress)
        else:
            _replacing(source, goal, mark, done, progress)
    done.seconds = round(time.monotonic() - began, 2)
    return done


def _refuse_altered(mark: Freeze, written: ProjectDigest, source: str) -> None:
    """Raise DatabaseDamaged if rows differ from the seal; seals of different schemas cannot be compared."""
    if mark.seal != written.seal and mark.seal.partition(":")[0] == HEAD:
        raise DatabaseDamaged(
            f"{source} is damaged: its rows differ from those that were backed up. Nothing was restored. Try an older "
            "backup."
        )


def _refuse_in_use(target: BulkDatabase, file: Path, backup: Path, *, force: bool) -> None:
    """Refuse before the backup is read, because that takes long."""
    if backup.resolve() in own_files(file):
        raise InvalidInput(f"{backup} is the backlog itself. Name the place with --db.", field="db")
    if not file.exists():
        return
    marks: dict[str, Freeze | None] = {target.name: None}
    with suppress(Refusal):  # damaged: the file counts as this project
        marks = file_inspection.projects_in(file)
    if force:
        with file_inspection.exclusive_access(file):
            pass
        others = [name for name, mark in marks.items() if name != target.name and mark is None]
        if others:
            raise InvalidInput(
                f"{file} also has the projects {', '.join(sorted(others))}, so it is not set aside. Nothing was changed. "
                "Name another place with --db, or another name with --project.",
                field="db",
            )
    elif target.name in marks and (users := file_inspection.attached(file)):
        raise Busy(
            f"{file} is a live backlog: {', '.join(users)}. Nothing was changed. Stop the servers that use it, "
            "or name another place with --db."
        )


def _as_file(source: BulkDatabase, copy: Path, file: Path, mark: Freeze, done: Restored, progress: Progress) -> None:
    """Make the copy of the backup a live backlog, check it, and put it in place; set the old file aside."""
    with source.opened(), source.writing() as tx:
        written = digest_of(tx, progress)
        _refuse_altered(mark, written, done.source)
        tx.run(_rename, named=done.project)
        set_mark(tx, written.generation, None)
        done.released = release_all(tx, RELEASE_REASON)
        tx.commit()
    atomic_file.refuse_unfinished(copy)
    done.rows = written.rows
    progress("checking", 0, 1)
    done.unsound = check(copy, done.project, written)
    if file.exists():
        done.aside = str(atomic_file.exchange(copy, file))
    else:
        left = atomic_file.set_logs_aside(file)
        done.aside = str(left) if left is not None else None
        atomic_file.put_in_place(copy, file)


def _into(
    source: BulkDatabase,
    target: BulkDatabase,
    mark: Freeze,
    done: Restored,
    progress: Progress,
    *,
    replaced: str | None = None,
) -> None:
    """Write the project and make it live in one transaction, under the name of the project `replaced`, if any."""
    with source.reading() as here, target.writing() as there:
        if there.project.moved_to is not None or is_used(there):
            raise InvalidInput(
                f"{target.label} has a {called(there.project.name)} already. Nothing was changed. Name another with "
                "--project or another place with --db; --force sets the existing one aside.",
                field="db",
            )
        written = write_copy(here, there, Freeze("copied", "", mark.project, done.source), done.target, progress)
        _refuse_altered(mark, written, done.source)
        done.released = release_all(there, RELEASE_REASON)
        set_mark(there, written.generation, None)
        if replaced is not None:  # its old name belongs to the new project
            done.aside = f"{replaced[:60]} (until {when(there.now)})"
            moved = Freeze("moved", written.generation, replaced, done.target)
            there.run(_retire, named=replaced, retired=done.aside, mark=str(moved))
            there.run(_rename, named=replaced)
        there.commit()
    done.rows = written.rows


def _replacing(source: BulkDatabase, goal: Settings, mark: Freeze, done: Restored, progress: Progress) -> None:
    """Write the project under a temporary name, and exchange the names in the same transaction."""
    old = BulkDatabase(goal)
    with old.opened(), old.reading() as tx:
        live = tx.all(live_claims)
    if live:
        some = ", ".join(f"{row['id']} by {row['claimed_by']}" for row in live[:5])
        raise AlreadyClaimed(
            f"Features of {goal.project!r} at {old.label} are claimed now: {some}. Nothing was changed. Stop the servers "
            "of these agents and let their claims end, or restore under another name with --project.",
            ids=[row["id"] for row in live[:5]],
        )
    new = BulkDatabase(goal.model_copy(update={"project": f"{goal.project[:80]} (being restored)"}))
    with source.opened(), new.opened():
        _into(source, new, mark, done, progress, replaced=goal.project)
