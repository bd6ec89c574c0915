"""Copy: moves a project to another database, completely or not at all. At most one of the two is ever live.

The two databases commit separately, so the order of the commits makes the copy safe:

1. The copy is written, compared, and marked as a copy: no one can write to it.
2. The source is marked as moved: no one can write to it either.
3. The mark of the copy is removed: it is live.

The source is locked from before the first row is read until commit 2. After a crash, the same command reads the marks.
Before commit 2 it starts from the beginning; after it, only step 3 is left.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from sqlalchemy import bindparam, select, update

from dibs.database.project_row import Freeze, called, frozen
from dibs.rules.conditions import F, expired, in_project, leased
from dibs.transfer.bulk import BulkDatabase, BulkTransaction, refuse_unknown
from dibs.transfer.project_rows import PENDING_LEASE, Progress, count_claims, is_used, write_copy
from dibs.verbs.lease import RENEWED
from dibs_schema.refusals import AlreadyClaimed, InvalidInput
from dibs_schema.tables import features, projects

MARKED_AS = {"moved": "has moved to", "copied": "is an unfinished copy of", "backup": "is a backup of"}

_P = projects.c
live_claims = select(F.id, F.claimed_by).where(in_project(), leased(), ~expired()).order_by(F.id)
_mark_moved = (
    update(projects).where(_P.id == bindparam("project"), _P.moved_to.is_(None)).values(moved_to=bindparam("mark"))
)
_go_live = update(projects).where(_P.id == bindparam("project"), _P.moved_to == bindparam("mark")).values(moved_to=None)
_begin_leases = update(features).where(in_project(), leased(), F.lease_clock == PENDING_LEASE).values(RENEWED)


@dataclass(slots=True)
class Copied:
    """The result of a copy. `finished` is true if only step 3 of an earlier copy was left."""

    source: str
    target: str
    project: str
    to_project: str
    rows: dict[str, int] = field(default_factory=dict)
    claims: int = 0
    events_renumbered_by: int = 0
    digest: str = ""
    finished: bool = False
    seconds: float = 0.0


def copy_project(source: BulkDatabase, target: BulkDatabase, *, with_claims: bool, progress: Progress) -> Copied:
    """Move the project to the other database, and mark the source as moved.

    Live claims are refused, unless `with_claims` copies them, each with a fresh lease.
    Raises NotFound, InvalidInput, AlreadyClaimed, DatabaseReplaced if the source has moved already,
    DatabaseDamaged if the copy differs from the source, and the refusals of opening a database.
    """
    began = time.monotonic()
    _refuse_same(source, target)
    done = Copied(source.label, target.label, source.name, target.name)
    with source.opened(), target.opened():
        with ExitStack() as stack:
            # Every copy locks in the same order, so that copies in opposite directions cannot deadlock.
            both = {
                one: stack.enter_context(one.writing(exclusive=one is source))
                for one in sorted((source, target), key=lambda one: one.label)
            }
            here, there = both[source], both[target]
            if _is_unfinished(here, there):
                mark, done.finished = str(there.project.moved_to), True
            else:
                _refuse_live_claims(here, with_claims=with_claims)
                _refuse_occupied(here, there, target.label)
                mark = _copy(here, there, done, progress)
                here.commit()
        with target.writing() as there:
            there.run(_begin_leases)
            there.run(_go_live, mark=mark)
            done.claims = int(there.value(count_claims))
            there.commit()
    done.seconds = round(time.monotonic() - began, 2)
    return done


def _copy(here: BulkTransaction, there: BulkTransaction, done: Copied, progress: Progress) -> str:
    """Write and commit the copy under a mark, mark the source without a commit, and return the copy's mark."""
    mark = Freeze("copied", here.project.generation, here.project.name, done.source)
    written = write_copy(here, there, mark, done.target, progress)
    there.commit()
    done.events_renumbered_by = written.shift
    done.rows, done.digest = written.rows, written.digest
    here.run(_mark_moved, mark=str(Freeze("moved", written.generation, there.project.name, done.target)))
    return str(mark)


def _refuse_same(source: BulkDatabase, target: BulkDatabase) -> None:
    if source.label == target.label:
        raise InvalidInput("Both are the same database. Name another one with --to.", field="to")
    generations = source.projects()
    refuse_unknown(source, generations)
    if generations[source.name] in target.projects().values():
        raise InvalidInput(
            f"{target.label} is the same database as {source.label}, or was copied from it by other means. "
            "Name another one.",
            field="to",
        )


def _is_unfinished(here: BulkTransaction, there: BulkTransaction) -> bool:
    """Check whether an earlier copy stopped before its last step. Raises DatabaseReplaced."""
    if here.project.moved_to is None:
        return False
    mark = Freeze.read(here.project.moved_to)
    if mark.state == "moved" and mark.generation == there.project.generation:
        origin = there.project.moved_to and Freeze.read(there.project.moved_to)
        if origin and origin.state == "copied" and origin.generation == here.project.generation:
            return True
    raise frozen(here.project.name, mark)


def _refuse_live_claims(here: BulkTransaction, *, with_claims: bool) -> None:
    live = here.all(live_claims)
    if live and not with_claims:
        some = ", ".join(f"{row['id']} by {row['claimed_by']}" for row in live[:5])
        more = f" and {len(live) - 5} more" if len(live) > 5 else ""
        raise AlreadyClaimed(
            f"Features are claimed now: {some}{more}. Nothing was copied. Let their holders finish, or copy the claims too "
            "with --with-claims: their tokens work in the new database, each with a fresh lease.",
            ids=[row["id"] for row in live[:5]],
        )


def _refuse_occupied(here: BulkTransaction, there: BulkTransaction, label: str) -> None:
    """Refuse to overwrite a project, unless it is empty, an unfinished copy of this one, or its former place."""
    is_what = ""
    if there.project.moved_to is not None:
        mark = Freeze.read(there.project.moved_to)
        if mark.generation == here.project.generation and mark.state != "backup":
            return
        is_what = f", which {MARKED_AS[mark.state]} the {called(mark.project)} at {mark.label}"
    elif not is_used(there):
        return
    raise InvalidInput(
        f"{label} has a {called(there.project.name)} already{is_what}. Nothing was copied. "
        "Name another one with --to-project, or another database.",
        field="to",
    )
