"""An import again: every difference is reported, none is applied without `update`, and a live claim is never touched."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from dibs.database import Database
from dibs.transfer.formats import read_backlog
from dibs.transfer.importer import Import
from dibs.transfer.take_differences import Kept
from dibs_schema.answers import CLAIMED, NEEDS_FORCE, NOT_ASKED, Imported
from dibs_schema.refusals import WouldCycle
from dibs_schema.status import Status
from verbs.stage import board, depend, finish, is_sound, journal, named, place, row, take

Raw = list[dict[str, Any]]


class File:
    """A file that is imported again and again into one backlog."""

    def __init__(self, database: Database, path: Path) -> None:
        self.database, self.path = database, path

    def imported(
        self, entries: Raw, *, update: bool = False, force: bool = False
    ) -> tuple[Imported, Sequence[Kept], set[tuple[str, str]]]:
        """Write the entries, import them, and return the answer, what was kept, and what differed before."""
        self.path.write_text(json.dumps(entries), encoding="utf-8")
        one = Import(read_backlog(self.path), "list.json", named=True, update=update, force=force)
        comparison = self.database.read_now(one.compare)
        would = [(kept.difference.feature, kept.difference.field, kept.reason) for kept in one.would_keep(comparison)]
        done, kept = self.database.write_now(lambda tx: one.apply(tx, comparison))
        assert sorted(would) == sorted((each.difference.feature, each.difference.field, each.reason) for each in kept)
        return done, kept, {(each.reference, each.field) for each in comparison.differences}


@pytest.fixture
def file(database: Database, tmp_path: Path) -> File:
    """A file for the fresh backlog."""
    return File(database, tmp_path / "list.json")


FIRST = {"id": "1", "name": "First", "description": "D", "steps": ["s"], "priority": 1, "category": "core"}
SECOND = {"id": "2", "name": "Second", "description": "D", "priority": 2, "category": "core"}
CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("name", {"name": "Other"}),
    ("description", {"description": "Other"}),
    ("category", {"category": "other"}),
    ("steps", {"steps": ["s", "t"]}),
    ("priority", {"priority": 9}),
    ("paths", {"paths": ["src/a"]}),
    ("dependencies", {"dependencies": ["2"]}),
    ("notes", {"notes": ["look here"]}),
    ("status", {"status": "done"}),
    ("status", {"status": "blocked: no key"}),
    ("status", {"status": "cancelled"}),
    ("status", {"status": "needs_human"}),
]


@pytest.mark.parametrize(("field", "edit"), CHANGES)
def test_an_edit_is_reported_and_taken_only_if_asked(file: File, field: str, edit: dict[str, Any]) -> None:
    """It is one difference, stays until `update`, is then one event, and differs no more."""
    file.imported([FIRST, SECOND])
    before = board(file.database)
    done, kept, differing = file.imported([FIRST | edit, SECOND])
    assert (done.present, done.differing, done.taken, done.kept) == (2, {field: 1}, 0, {NOT_ASKED: 1})
    assert differing == {("1", field)}
    assert board(file.database) == before
    events = len(journal(file.database))
    done, kept, _ = file.imported([FIRST | edit, SECOND], update=True)
    assert (done.taken, kept) == (1, [])
    assert len(journal(file.database)) == events + 1
    assert file.imported([FIRST | edit, SECOND], update=True)[2] == set()
    assert is_sound(file.database)


@pytest.mark.parametrize(("field", "edit"), CHANGES)
def test_a_live_claim_is_never_touched(file: File, field: str, edit: dict[str, Any]) -> None:
    """Whatever the file says, the row of a claimed feature stays as it is."""
    file.imported([FIRST, SECOND])
    take(file.database, named("ada"), 1)
    before = row(file.database, 1)
    done = file.imported([FIRST | edit, SECOND], update=True, force=True)[0]
    assert (done.taken, done.kept) == (0, {CLAIMED: 1})
    assert row(file.database, 1) == before


def test_a_feature_that_was_claimed_after_the_comparison_is_not_touched(file: File) -> None:
    """The guard is in the statement, and not in what was read before."""
    file.imported([FIRST, SECOND])
    file.path.write_text(json.dumps([FIRST | {"name": "Other"}, SECOND]), encoding="utf-8")
    one = Import(read_backlog(file.path), "list.json", named=True, update=True, force=True)
    comparison = file.database.read_now(one.compare)
    take(file.database, named("ada"), 1)
    before = row(file.database, 1)
    done, kept = file.database.write_now(lambda tx: one.apply(tx, comparison))
    assert (done.taken, [each.reason for each in kept]) == (0, [CLAIMED])
    assert row(file.database, 1) == before


def test_work_is_taken_back_only_by_force(file: File) -> None:
    """A passing feature and a question of an agent stay; with force they go, and dependents wait again."""
    file.imported([FIRST, SECOND | {"dependencies": ["1"]}])
    finish(file.database, 1)
    entries = [FIRST, SECOND | {"dependencies": ["1"]}]
    done, _, differing = file.imported(entries, update=True)
    assert (done.taken, done.kept, differing) == (0, {NEEDS_FORCE: 1}, {("1", "status")})
    assert row(file.database, 1)["status"] == Status.PASSING
    done = file.imported(entries, update=True, force=True)[0]
    assert (done.taken, row(file.database, 1)["status"], row(file.database, 2)["unmet_dependencies"]) == (
        1,
        "pending",
        1,
    )
    assert is_sound(file.database)


WORDS = {
    Status.PENDING: "pending",
    Status.PASSING: "done",
    Status.STUCK: "stuck",
    Status.ARCHIVED: "cancelled",
    Status.NEEDS_HUMAN: "needs_human",
}


def test_every_state_can_be_taken(file: File) -> None:
    """By force a feature gets from each state into each other one, soundly, and its dependents count right."""
    for was, word in WORDS.items():
        for becomes, other in WORDS.items():
            file.imported([FIRST | {"status": word}, SECOND | {"dependencies": ["1"]}], update=True, force=True)
            assert row(file.database, 1)["status"] == was
            entries = [FIRST | {"status": other}, SECOND | {"dependencies": ["1"]}]
            done, kept, _ = file.imported(entries, update=True, force=True)
            assert (row(file.database, 1)["status"], kept) == (becomes, [])
            assert done.taken == (was is not becomes)
            assert is_sound(file.database)


def test_dependencies_on_other_lists_stay(file: File) -> None:
    """A dependency that a planner added on a feature of no list is none of the file's business."""
    file.imported([FIRST, SECOND])
    other = place(file.database, Status.PENDING).id
    depend(file.database, 1, other)
    assert file.imported([FIRST, SECOND])[2] == set()
    file.imported([FIRST | {"dependencies": ["2"]}, SECOND], update=True)
    assert row(file.database, 1)["unmet_dependencies"] == 2


def test_a_cycle_with_what_is_here_is_refused_whole(file: File) -> None:
    """Dependencies that planners added are part of the graph."""
    file.imported([FIRST, SECOND])
    other = place(file.database, Status.PENDING).id
    depend(file.database, 1, other)
    depend(file.database, other, 2)
    before = board(file.database)
    with pytest.raises(WouldCycle):
        file.imported([FIRST, SECOND | {"name": "Other", "dependencies": ["1"]}], update=True)
    assert board(file.database) == before


def _text(draw: Random) -> str:
    return f"text {draw.randrange(10**9)}"


EDITS: dict[str, Callable[[Random, int], object]] = {
    "name": lambda draw, _: _text(draw),
    "description": lambda draw, _: _text(draw),
    "category": lambda draw, _: _text(draw),
    "steps": lambda draw, _: [_text(draw) for _ in range(1 + draw.randrange(3))],
    "priority": lambda draw, _: draw.randrange(10**6),
    "paths": lambda draw, _: [f"src/{draw.randrange(10**9)}"],
    "dependencies": lambda draw, at: sorted({f"f{draw.randrange(at)}" for _ in range(draw.randrange(4))}) if at else [],
    "notes": lambda draw, _: [_text(draw)],
    "status": lambda draw, _: draw.choice(list(WORDS.values())),
}


def test_two_hundred_generated_edits(file: File) -> None:
    """Each edit is reported exactly, applied by `update` alone, kept for claims and passes, and not lost."""
    draw = Random(17)
    entries: Raw = [
        {"id": f"f{n}", "name": f"feature {n}", "description": "D", "steps": [], "priority": n, "category": "core"}
        | {"paths": [], "dependencies": [], "notes": [], "status": "pending"}
        for n in range(30)
    ]
    file.imported(entries)
    numbers = {f"f{n}": n + 1 for n in range(30)}
    claimed = {"f3", "f11", "f20"}
    for reference in claimed:
        take(file.database, named(reference), numbers[reference])
    for _ in range(20):
        before = board(file.database)
        chosen = {at: draw.choice(list(EDITS)) for at in draw.sample(range(30), 10)}
        wanted = [
            one | {chosen[at]: EDITS[chosen[at]](draw, at)} if at in chosen else one for at, one in enumerate(entries)
        ]
        expected = {(old["id"], chosen[at]) for at, old in enumerate(entries) if wanted[at] != old}
        edited = draw.sample(wanted, 30)
        assert file.imported(edited)[2] == expected
        assert board(file.database) == before
        _, kept, differing = file.imported(edited, update=True)
        assert differing == expected
        reasons = {(one.difference.reference, one.difference.field): one.reason for one in kept}
        done = {one["id"] for one in entries if one["status"] in ("done", "needs_human")}
        assert {one for one, reason in reasons.items() if reason == CLAIMED} == {
            one for one in expected if one[0] in claimed
        }
        assert all(one[0] in done and one[1] == "status" for one, reason in reasons.items() if reason == NEEDS_FORCE)
        entries = [old if old["id"] in claimed else new for old, new in zip(entries, wanted, strict=True)]
        assert file.imported(entries, update=True, force=True)[1] == []
        assert file.imported(entries)[2] == set()
    assert is_sound(file.database)
    assert {row(file.database, numbers[one])["status"] for one in claimed} == {Status.IN_PROGRESS}
