"""Complete files in the formats of public tools, and three files of a real project."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from dibs.transfer.formats import Backlog, read_backlog
from dibs_schema.status import Status

FIXTURES = Path(__file__).parent / "fixtures"
REPOSITORY = Path(__file__).parents[3]
PUBLIC = REPOSITORY.parent / "shared/data/feature_lists"


def statuses(backlog: Backlog) -> dict[Status, int]:
    """Return how many features are in each status."""
    return dict(Counter(feature.status for feature in backlog.features))


def test_user_stories() -> None:
    """A file of user stories keeps its ids, priorities, criteria, booleans and notes; its branch is their source."""
    backlog = read_backlog(FIXTURES / "user_stories.json")
    first, second = backlog.features
    assert (first.reference, first.status, first.priority) == ("US-001", Status.PASSING, 1)
    assert first.steps == ["The form offers three periods", "A day is chosen by default"]
    assert (second.status, second.dependencies) == (Status.PENDING, ["US-001"])
    assert "title -> name (2)" in backlog.mapped
    assert "acceptanceCriteria -> steps (2)" in backlog.mapped
    assert second.notes == ["the job must survive a restart"]
    assert backlog.source == "feature/expiry"
    assert backlog.ignored == ["project of the file (1)"]


def test_tagged_tasks() -> None:
    """A list inside one tag is found; details join the description, subtasks and test strategy the steps."""
    backlog = read_backlog(FIXTURES / "tagged_tasks.json")
    first, second, third = backlog.features
    assert first.description == "Create the package and its checks.\n\nUse one workflow for lint, types and tests."
    assert first.steps == ["A pull request with a failing test is red."]
    assert second.steps == ["RSS 2.0: items and enclosures", "Atom"]
    assert [feature.priority for feature in backlog.features] == [2, 3, 4]
    assert [feature.status for feature in backlog.features] == [
        Status.PASSING,
        Status.PENDING,
        Status.PENDING,
    ]
    assert third.description == third.name == "Show the feed"
    assert "status 'in-progress' -> pending (1)" in backlog.mapped
    assert any("status 'deferred-by-product'" in line for line in backlog.unknown)


def test_phases() -> None:
    """A group is the category of a feature without one. A blocked feature waits, or needs a person."""
    backlog = read_backlog(FIXTURES / "phases.json")
    assert [feature.category for feature in backlog.features] == [
        "Foundation",
        "Foundation",
        "Seasons",
        "Weather",
    ]
    assert [feature.status for feature in backlog.features] == [
        Status.PASSING,
        Status.STUCK,
        Status.PENDING,
        Status.ARCHIVED,
    ]
    assert backlog.features[3].archived_from is Status.PENDING


def test_json_lines() -> None:
    """One object a line is a backlog too, and blank lines do not count."""
    first, second = read_backlog(FIXTURES / "lines.jsonl").features
    assert (first.status, second.status, second.dependencies) == (Status.PASSING, Status.PENDING, ["a"])


@pytest.mark.parametrize(
    ("name", "expected", "mapped", "ignored"),
    [
        ("autocoder_style", {Status.PASSING: 8, Status.PENDING: 2}, "passes true -> passing (8)", []),
        (
            "ledger_style",
            {Status.PASSING: 5},
            "title -> name (5)",
            [
                "last_updated of the file (1)",
                "project of the file (1)",
                "rules of the file (1)",
                "status_legend of the file (1)",
                "updated_at (5)",
            ],
        ),
        (
            "string_ids",
            {Status.PASSING: 154, Status.PENDING: 362},
            "category (516)",
            ["feature (516)", "type (516)"],
        ),
    ],
)
def test_public_files(name: str, expected: dict[Status, int], mapped: str, ignored: list[str]) -> None:
    """Files that public projects wrote are read whole, with every feature in its status."""
    path = PUBLIC / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    backlog = read_backlog(path)
    assert statuses(backlog) == expected
    assert mapped in backlog.mapped
    assert backlog.ignored == ignored
    assert [feature.priority for feature in backlog.features] == list(range(1, len(backlog.features) + 1))
    assert len({feature.reference for feature in backlog.features}) == len(backlog.features)


def test_the_example_backlog_is_worth_showing() -> None:
    """The demo's backlog imports with nothing ignored, is some eight levels deep, and wide and narrow."""
    backlog = read_backlog(REPOSITORY / "examples/backlog.json")
    levels: dict[str, int] = {}
    for feature in backlog.features:
        levels[feature.reference] = 1 + max((levels[needed] for needed in feature.dependencies), default=0)
    widths = Counter(levels.values())
    assert backlog.ignored == []
    assert 60 <= len(backlog.features) <= 70
    assert 7 <= max(widths) <= 9
    assert max(widths.values()) >= 4 * min(widths.values())
    assert all(feature.steps for feature in backlog.features)
    assert len({feature.name for feature in backlog.features}) == len(backlog.features)
