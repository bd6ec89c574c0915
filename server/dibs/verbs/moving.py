"""Moving a project to another database: all of it or nothing, and never two that are live.

Both databases commit by themselves, so the order of their commits is what makes it safe:

1. The copy is written and compared, but marked as a copy: nobody writes to it.
2. The source is marked as moved: from here on nobody writes to it either.
3. The mark of the copy is taken away: it is live.

The source is locked from before the first row is read until 2 is committed. Who runs the copy again after
a crash finds the marks: before 2 it begins anew, after 2 there is only 3 left to do.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import bindparam, func, select, update

from dibs.database.moves import Mark, moved
from dibs.database.site import Site, Sole
from dibs.verbs.guards import F, expired, in_project, leased
from dibs.verbs.leases import EXTENDED
from dibs.verbs.rows import (
    ON_ITS_WAY,
    bring_rows,
    bring_settings,
    clear,
    count_rows,
    digests,
    events_shift,
    last_event,
)
from dibs_schema.refusals import AlreadyClaimed, DatabaseDamaged, InvalidInput, NotFound
from dibs_schema.tables import events, features, projects, questions, requests

Watch = Callable[[str, int, int], object]
"""Told what is being done, how many rows are through, and how many there are."""

_P = projects.c
_live_claims = select(F.id, F.claimed_by).where(in_project(), leased(), ~expired()).order_by(F.id)
_claims = select(func.count()).where(in_project(), leased())
_numbers = select(_P.next_feature_id, _P.next_question_id).where(_P.id == bindparam("project"))
_set_mark = (
    update(projects)
    .where(_P.id == bindparam("project"), _P.moved_to.is_(None))
    .values(moved_to=bindparam("mark"))
)
_begin_copy = (
    update(projects)
    .where(_P.id == bindparam("project"))
    .values(generation=bindparam("new_generation"), moved_to=bindparam("mark"))
)
_go_live = (
    update(projects)
    .where(_P.id == bindparam("project"), _P.moved_to == bindparam("mark"))
    .values(moved_to=None)
)
_begin_leases = update(features).where(in_project(), leased(), F.lease_clock == ON_ITS_WAY).values(EXTENDED)


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
        done.claims = int(there.value(_claims))
        there.commit()
    done.seconds = time.monotonic() - began
    return done


def _copy(here: Sole, there: Sole, done: Copied, watch: Watch) -> str:
    """Write the copy, compare and commit it under its mark, which is returned; mark the source."""
    generation = secrets.token_hex(8)
    mark = Mark("copied", here.project.generation, here.project.name, done.source)
    total, through = count_rows(here) * 2, 0

    def told(what: str) -> Callable[[int], None]:
        def advance(rows: int) -> None:
            nonlocal through
            through += rows
            watch(what, through, total)

        return advance

    clear(there)
    there.run(_begin_copy, new_generation=generation, mark=str(mark))
    bring_settings(here, there)
    shift = done.events_renumbered_by = events_shift(here, there)
    read = bring_rows(here, there, shift, told("copying"))
    if digests(there, shift, told("comparing")) != read:
        raise DatabaseDamaged(
            f"What {done.target} holds after copying is not what was read from {done.source}. The copy was taken back, "
            "and the project stays where it is. Run `dibs doctor` on both."
        )
    there.settle(last_event(there))
    there.commit()
    done.rows = {name: digest.rows for name, digest in read.items()}
    done.digest = f"{sum(digest.total for digest in read.values()) % (1 << 128):032x}"
    here.run(_set_mark, mark=str(Mark("moved", generation, there.project.name, done.target)))
    return str(mark)


def _refuse_apart(source: Site, target: Site) -> None:
    """Refuse, before anything is opened for writing, what cannot be copied at all."""
    if source.label == target.label:
        raise InvalidInput("Both are the same database. Name another one with --to.", field="to")
    generations = source.projects()
    if source.name not in generations:
        there = f"It holds {', '.join(sorted(generations))}: choose with --project." if generations else ""
        raise NotFound(f"There is no project {source.name!r} at {source.label}. {there}".rstrip())
    if generations[source.name] in target.projects().values():
        raise InvalidInput(
            f"{target.label} is the same database as {source.label}, or its copy by other means. Name another one.",
            field="to",
        )


def _is_left_to_finish(here: Sole, there: Sole) -> bool:
    """Whether a copy was cut off when all but the last step was done. Raises DatabaseReplaced."""
    if here.project.moved_to is None:
        return False
    mark = Mark.read(here.project.moved_to)
    if mark.state == "moved" and mark.generation == there.project.generation:
        origin = there.project.moved_to and Mark.read(there.project.moved_to)
        if origin and origin.state == "copied" and origin.generation == here.project.generation:
            return True
    raise moved(here.project.name, mark)


def _refuse_live_claims(here: Sole, *, with_claims: bool) -> None:
    live = here.all(_live_claims)
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
        mark = Mark.read(there.project.moved_to)
        if mark.generation == here.project.generation:
            return
        is_what = "is an unfinished copy of" if mark.state == "copied" else "has moved to"
        raise InvalidInput(
            f"{label} has a project {there.project.name!r} already, which {is_what} {mark.project!r} at {mark.label}. "
            "Nothing was copied. Name another one with --to-project, or another database.",
            field="to",
        )
    numbers = there.all(_numbers)[0].values()
    used = any(
        there.value(select(func.count()).select_from(table).where(in_project(table)))
        for table in (features, events, questions, requests)
    )
    if used or set(numbers) != {1}:
        raise InvalidInput(
            f"{label} has a project {there.project.name!r} already. Nothing was copied. "
            "Name another one with --to-project, or another database.",
            field="to",
        )
