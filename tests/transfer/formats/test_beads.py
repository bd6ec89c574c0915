"""What only beads has: a header before the issues, and epics, which are no work of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dibs.transfer.formats import Backlog, read_backlog


def read(tmp_path: Path, *records: dict[str, Any]) -> Backlog:
    """Write records as lines, and read them."""
    path = tmp_path / "issues.jsonl"
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return read_backlog(path)


def issue(name: str, kind: str = "task", **links: list[str]) -> dict[str, Any]:
    """Return an issue with links of each kind."""
    listed = [
        {"issue_id": name, "depends_on_id": other, "type": link.replace("_", "-")}
        for link, others in links.items()
        for other in others
    ]
    return {"id": name, "title": f"Issue {name}", "issue_type": kind, "status": "open", "dependencies": listed}


def waits(backlog: Backlog) -> dict[str, list[str]]:
    """Return the dependencies of each feature."""
    return {one.reference: one.dependencies for one in backlog.features}


def test_a_header_is_no_issue(tmp_path: Path) -> None:
    """A record with `_schema` before the issues is left out, and reported."""
    backlog = read(tmp_path, {"_schema": "beads-jsonl/1"}, issue("a"))
    assert [one.reference for one in backlog.features] == ["a"]
    assert backlog.ignored == ["a record of the kind header, which is no issue (1)"]


def test_an_epic_waits_for_its_issues(tmp_path: Path) -> None:
    """Its issues can be worked on at once, and have its title as category; who waits for it waits for all of them."""
    backlog = read(
        tmp_path,
        issue("e", "epic"),
        issue("a", parent_child=["e"]),
        issue("b", parent_child=["e"]),
        issue("c", blocks=["e"]),
    )
    assert waits(backlog) == {"e": ["a", "b"], "a": [], "b": [], "c": ["e"]}
    assert [one.category for one in backlog.features] == ["epic", "Issue e", "Issue e", "task"]


def test_an_epic_never_waits_in_a_circle(tmp_path: Path) -> None:
    """An issue that waits for its epic, directly or not, is none that the epic waits for."""
    backlog = read(
        tmp_path,
        issue("e", "epic"),
        issue("a", parent_child=["e"], blocks=["e"]),
        issue("b", parent_child=["e"], blocks=["c"]),
        issue("c", blocks=["e"]),
    )
    assert waits(backlog) == {"e": [], "a": ["e"], "b": ["c"], "c": ["e"]}


def test_a_wide_epic_waits_for_as_many_as_a_feature_may(tmp_path: Path) -> None:
    """The rest is reported, and the file is not refused."""
    backlog = read(tmp_path, issue("e", "epic"), *(issue(f"i{n}", parent_child=["e"]) for n in range(25)))
    assert waits(backlog)["e"] == [f"i{n}" for n in range(5, 25)]
    assert backlog.ignored == ["5 issues of an epic, which waits for 20 (1)"]
