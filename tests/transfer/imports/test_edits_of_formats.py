"""Files of every tool are edited and imported again: each edit is reported, and taken only by `--update`."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from dibs.database import Database, file_driver
from dibs.transfer.formats import read_backlog
from dibs.transfer.importer import Import
from dibs_schema.answers import CLAIMED
from dibs_schema.status import Status
from transfer.formats import test_large_files as tools
from transfer.formats.test_large_files import Task, Write
from verbs.stage import board, is_sound, named, row, take

COUNT = 30
ROUNDS, EDITS = 20, 10
CLAIMED_PLACES = (1, 7, 13)


def checklist(folder: Path) -> Path:
    """Items, which do not name each other."""
    lines = [f"{tools.box(one)} Task {one.number}" for one in tools.TASKS]
    return tools.saved(folder / "TODO.md", "\n".join(lines))


WITH_DEPENDENCIES = (tools.beads, tools.task_master, tools.shrimp, tools.backlog_md, tools.linear, tools.jira)
WITHOUT = (tools.github, checklist)


def edited(one: Task, draw: Random, *, with_dependencies: bool) -> tuple[Task, str]:
    """Return a task with another state or other dependencies, and the name of the field that differs."""
    if not with_dependencies or one.number < 3 or draw.random() < 0.5:
        return Task(one.number, not one.done, one.needs), "status"
    others = [number for number in range(1, one.number) if number not in one.needs]
    return Task(one.number, one.done, (draw.choice(others),)), "dependencies"


@pytest.mark.parametrize("write", [*WITH_DEPENDENCIES, *WITHOUT], ids=lambda one: one.__name__)
def test_two_hundred_edits_of_a_file(
    database: Database, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The differences are the edits and no others, nothing changes without `update`, and claims stay as they are."""
    draw = Random(17)
    tasks = [Task(number, done=False, needs=()) for number in range(1, COUNT + 1)]

    def import_now(*, update: bool) -> tuple[set[tuple[int, str]], list[tuple[int, str, str]]]:
        monkeypatch.setattr(tools, "TASKS", tasks)
        folder = tmp_path / str(draw.random())
        folder.mkdir()
        backlog = read_backlog(write(folder), file_driver())
        one = Import(backlog, "list", named=True, update=update, force=update)
        comparison = database.read_now(one.compare)
        _, kept = database.write_now(lambda tx: one.apply(tx, comparison))
        assert not comparison.new or len(comparison.new) == COUNT
        place = {feature.reference: number for number, feature in enumerate(backlog.features)}
        differing = {(place[each.reference], each.field) for each in comparison.differences}
        return differing, [(place[each.difference.reference], each.difference.field, each.reason) for each in kept]

    import_now(update=False)
    for place in CLAIMED_PLACES:
        take(database, named(f"agent {place}"), place + 1)
    claims = [row(database, place + 1) for place in CLAIMED_PLACES]
    for _ in range(ROUNDS):
        before, old = board(database), list(tasks)
        expected = set()
        for place in draw.sample(range(COUNT), EDITS):
            tasks[place], field = edited(tasks[place], draw, with_dependencies=write in WITH_DEPENDENCIES)
            expected.add((place, field))
        assert import_now(update=False)[0] == expected
        assert board(database) == before
        differing, kept = import_now(update=True)
        assert differing == expected
        assert {(place, field) for place, field, _ in kept} == {one for one in expected if one[0] in CLAIMED_PLACES}
        assert {reason for _, _, reason in kept} <= {CLAIMED}
        tasks = [old[place] if place in CLAIMED_PLACES else one for place, one in enumerate(tasks)]
        assert import_now(update=False)[0] == set()
    assert [row(database, place + 1)["claim_token"] for place in CLAIMED_PLACES] == [
        one["claim_token"] for one in claims
    ]
    assert {row(database, place + 1)["status"] for place in CLAIMED_PLACES} == {Status.IN_PROGRESS}
    assert is_sound(database)
