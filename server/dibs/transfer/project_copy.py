"""A project written into another database, and compared there with what was read: for moving, backups, restoring."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select, update

from dibs.database.project import Freeze
from dibs.rules.conditions import in_project, leased
from dibs.transfer.exclusive import Site, Sole
from dibs.transfer.row_copy import (
    Digest,
    bring_rows,
    bring_settings,
    clear,
    count_rows,
    digests,
    events_shift,
    last_event,
)
from dibs_schema.refusals import DatabaseDamaged, NotFound
from dibs_schema.tables import HEAD, events, features, projects, questions, requests

Watch = Callable[[str, int, int], object]
"""Told what is being done, how many rows are through, and how many there are."""

_P = projects.c
_mark = (
    update(projects)
    .where(_P.id == bindparam("project"))
    .values(generation=bindparam("new_generation"), moved_to=bindparam("mark"))
)
claims_kept = select(func.count()).select_from(features).where(in_project(), leased())
_numbers = select(_P.next_feature_id, _P.next_question_id).where(_P.id == bindparam("project"))


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the new project's generation, the rows of each table, by how much events were renumbered."""

    generation: str
    read: Mapping[str, Digest]
    shift: int

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each table has."""
        return {name: digest.rows for name, digest in self.read.items()}

    @property
    def digest(self) -> str:
        """One digest over all tables."""
        return _sum(self.read.values())

    @property
    def seal(self) -> str:
        """The digest of what lasts, and the schema in whose columns it was counted."""
        return f"{HEAD}:{_sum(digest for name, digest in self.read.items() if name != 'writers')}"


def _sum(parts: Iterable[Digest]) -> str:
    return f"{sum(one.total for one in parts) % (1 << 128):032x}"


def write_copy(here: Sole, there: Sole, mark: Freeze, label: str, watch: Watch) -> Written:
    """Write the project that is read `here` over what is `there`, under a mark, and compare; commits nothing.

    Raises DatabaseDamaged where what is there is not what was read; `label` names it.
    """
    generation = secrets.token_hex(8)
    told = _teller(watch, count_rows(here) * 2)
    clear(there)
    mark_as(there, generation, mark)
    bring_settings(here, there)
    shift = events_shift(here, there)
    read = bring_rows(here, there, shift, told("copying"))
    if digests(there, shift, told("comparing")) != read:
        raise DatabaseDamaged(
            f"What {label} holds after copying is not what was read from {mark.label}. The copy was taken back, "
            "and the project stays where it is. Run `dibs doctor` on both."
        )
    there.settle(last_event(there))
    return Written(generation, read, shift)


def counted(there: Sole, watch: Watch) -> Written:
    """What a project that stands where it shall stand consists of, as `write_copy` says it of one that it wrote."""
    told = _teller(watch, count_rows(there))
    return Written(secrets.token_hex(8), digests(there, 0, told("reading")), 0)


def mark_as(there: Sole, generation: str, mark: Freeze | None) -> None:
    """Give the project that generation, and that mark, or none where it is to be live."""
    there.run(_mark, new_generation=generation, mark=str(mark) if mark is not None else None)


def _teller(watch: Watch, total: int) -> Callable[[str], Callable[[int], None]]:
    through = 0

    def told(what: str) -> Callable[[int], None]:
        def advance(rows: int) -> None:
            nonlocal through
            through += rows
            watch(what, through, total)

        return advance

    return told


def look_for(source: Site) -> dict[str, str]:
    """The generations of the projects where one is to be read. Raises NotFound where that one is not."""
    generations = source.projects()
    refuse_unknown(source, generations)
    return generations


def refuse_unknown(source: Site, there_are: Iterable[str]) -> None:
    """Raise NotFound, naming the projects that are there, where the site's is not one of them."""
    names = sorted(there_are)
    if source.name not in names:
        there = f"It holds {', '.join(names)}: choose with --project." if names else ""
        raise NotFound(f"There is no project {source.name!r} at {source.label}. {there}".rstrip())


def is_used(there: Sole) -> bool:
    """Whether anything was ever in the project."""
    return set(there.all(_numbers)[0].values()) != {1} or any(
        there.value(select(func.count()).select_from(table).where(in_project(table)))
        for table in (features, events, questions, requests)
    )
