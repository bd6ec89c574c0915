"""Moving a project to another database: all of it or nothing, and never two that are live.

Both databases commit by themselves, so the order of their commits is what makes it safe:

1. The copy is written and compared, but marked as a copy: nobody writes to it.
2. The source is marked as moved: from here on nobody writes to it either.
3. The mark of the copy is taken away: it is live.

The source is locked from before the first row is read until 2 is committed. Who runs the copy again after
a crash finds the marks: before 2 it begins anew, after 2 there is only 3 left to do.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import bindparam, select, update

from dibs.database.project import Freeze, frozen
from dibs.rules.conditions import F, expired, in_project, leased
from dibs.transfer.exclusive import Site, Sole
from dibs.transfer.project_copy import Watch, claims_kept, is_used, look_for, write_copy
from dibs.transfer.row_copy import ON_ITS_WAY
from dibs.verbs.lease import RENEWED
from dibs_schema.refusals import AlreadyClaimed, InvalidInput
from dibs_schema.tables import features, projects

IS_WHAT = {"moved": "has moved to", "copied": "is an unfinished copy of", "backup": "is a backup of"}
"""What the mark of a project says of it."""

_P = projects.c
live_claims = select(F.id, F.claimed_by).where(in_project(), leased(), ~expired()).order_by(F.id)
_set_mark = (
    update(projects)
    .where(_P.id == bindparam("project"), _P.moved_to.is_(None))
    .values(moved_to=bindparam("mark"))
)
_go_live = (
    update(projects)
    .where(_P.id == bindparam("project"), _P.moved_to == bindparam("mark"))
    .values(moved_to=None)
)
_begin_leases = update(features).where(in_project(), leased(), F.lease_clock == ON_ITS_WAY).values(RENEWED)


@dataclass(slots=True)
class Copied:
    """What was copied from where to where; `finished` where an earlier copy only had to be made live."""

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

    def wire(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"seconds": round(self.seconds, 2)}


def copy_project(source: Site, target: Site, *, with_claims: bool, watch: Watch) -> Copied:
    """Move the project to the other database, and leave the source marked as moved.

    Live claims are refused unless they are to come along: `with_claims` gives each a whole new lease.
    Raises NotFound, InvalidInput, AlreadyClaimed, DatabaseReplaced where the source has moved already,
    DatabaseDamaged where the copy is not what was read, and what keeps a database from being opened.
    """
    began = time.monotonic()
    _refuse_apart(source, target)
    done = Copied(source.label, target.label, source.name, target.name)
    source.open()
    target.open()
    with ExitStack() as held:
        # In one order whoever copies, so that two who copy in opposite directions do not wait for each other.
        both = {
            site: held.enter_context(site.writing(exclusive=site is source))
            for site in sorted((source, target), key=lambda site: site.label)
        }
        here, there = both[source], both[target]
        if _is_left_to_finish(here, there):
            mark, done.finished = str(there.project.moved_to), True
        else:
            _refuse_live_claims(here, with_claims=with_claims)
            _refuse_occupied(here, there, target.label)
            mark = _copy(here, there, done, watch)
            here.commit()
    with target.writing() as there:
        there.run(_begin_leases)
        there.run(_go_live, mark=mark)
        done.claims = int(there.value(claims_kept))
        there.commit()
    done.seconds = time.monotonic() - began
    return done


def _copy(here: Sole, there: Sole, done: Copied, watch: Watch) -> str:
    """Write the copy, compare and commit it under its mark, which is returned; mark the source."""
    mark = Freeze("copied", here.project.generation, here.project.name, done.source)
    written = write_copy(here, there, mark, done.target, watch)
    there.commit()
    done.events_renumbered_by = written.shift
    done.rows, done.digest = written.rows, written.digest
    here.run(_set_mark, mark=str(Freeze("moved", written.generation, there.project.name, done.target)))
    return str(mark)


def _refuse_apart(source: Site, target: Site) -> None:
    """Refuse, before anything is opened for writing, what cannot be copied at all."""
    if source.label == target.label:
        raise InvalidInput("Both are the same database. Name another one with --to.", field="to")
    generations = look_for(source)
    if generations[source.name] in target.projects().values():
        raise InvalidInput(
            f"{target.label} is the same database as {source.label}, or its copy by other means. Name another one.",
            field="to",
        )


def _is_left_to_finish(here: Sole, there: Sole) -> bool:
    """Whether a copy was cut off when all but the last step was done. Raises DatabaseReplaced."""
    if here.project.moved_to is None:
        return False
    mark = Freeze.read(here.project.moved_to)
    if mark.state == "moved" and mark.generation == there.project.generation:
        origin = there.project.moved_to and Freeze.read(there.project.moved_to)
        if origin and origin.state == "copied" and origin.generation == here.project.generation:
            return True
    raise frozen(here.project.name, mark)


def _refuse_live_claims(here: Sole, *, with_claims: bool) -> None:
    live = here.all(live_claims)
    if live and not with_claims:
        some = ", ".join(f"{row['id']} by {row['claimed_by']}" for row in live[:5])
        more = f" and {len(live) - 5} more" if len(live) > 5 else ""
        raise AlreadyClaimed(
            f"Features are claimed now: {some}{more}. Nothing was copied. Let their holders finish, or take the claims "
            "along with --with-claims: their tokens work in the new place, with a whole lease to get there.",
            ids=[row["id"] for row in live[:5]],
        )


def _refuse_occupied(here: Sole, there: Sole, label: str) -> None:
    """Refuse to write over a project, but for an empty one, a copy of this that was cut off, and its old place."""
    if there.project.moved_to is not None:
        mark = Freeze.read(there.project.moved_to)
        if mark.generation == here.project.generation and mark.state != "backup":
            return
        is_what = IS_WHAT[mark.state]
        raise InvalidInput(
            f"{label} has a project {there.project.name!r} already, which {is_what} {mark.project!r} at {mark.label}. "
            "Nothing was copied. Name another one with --to-project, or another database.",
            field="to",
        )
    if is_used(there):
        raise InvalidInput(
            f"{label} has a project {there.project.name!r} already. Nothing was copied. "
            "Name another one with --to-project, or another database.",
            field="to",
        )
