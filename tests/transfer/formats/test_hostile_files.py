"""Files of other tools that are nested, huge, or not what they seem are refused in bounded memory, with the place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dibs.transfer.formats import read_backlog
from dibs.transfer.formats.front_matter import parse_settings, split_front_matter
from dibs.transfer.formats.places import places_in
from dibs_schema.refusals import InvalidInput


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[str, str], str]:
    """Write a file that must be refused, and return the message."""

    def write_and_catch(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InvalidInput) as caught:
            read_backlog(path)
        return caught.value.message

    return write_and_catch


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("TODO.md", "Nothing to do.\n", "no list items with a box"),
        ("TODO.md", "".join(f"{'  ' * depth}- [ ] x\n" for depth in range(100)), "nested too deeply"),
        ("TODO.md", "- " * 10_000 + "[ ] x", "line 1 is nested too deeply"),
        (
            ".beads/issues.jsonl",
            '{"id": "a", "title": ["x", {"y": 1}], "issue_type": "bug"}\n',
            "line 1.title has the wrong type",
        ),
        (
            ".beads/issues.jsonl",
            '{"id": "a", "title": "x", "issue_type": "bug", "dependencies": [7]}\n',
            "line 1.depend",
        ),
        ("tasks.json", '{"tasks": [{"id": 1, "dependencies": [], "subtasks": [7]}]}', "tasks[0].subtasks[0] is not an"),
        ("tasks.json", '{"tasks": [{"id": 1, "title": "a", "dependencies": [2], "subtasks": []}]}', "'2'"),
        ("tasks.json", '{"tasks": [{"name": "a", "relatedFiles": [{"type": "CREATE"}]}]}', "relatedFiles.0.path has"),
        ("issues.csv", "ID,Team,Title,Status\n" + '1,T,"' + "x" * 200_000 + '",Done\n', "line 2 is not CSV, or has"),
        ("issues.csv", "a,b\n1,2\n", "names no column such as title"),
        ("issues.csv", "title\n\0\n\n", "issues.csv: "),
    ],
)
def test_what_is_not_what_it_seems_is_refused_with_the_place(
    refused: Callable[[str, str], str], name: str, text: str, says: str
) -> None:
    """The message names the line, or the path in the file."""
    assert says in refused(name, text)


@pytest.mark.parametrize(
    "piece",
    ["> ", "# ", "```\n", "<!--\n", "- [ ] a\n\n", "* ", "[", "|", "1. [ ] a\n", "- [ ] `a`b`\n", "- [ ] **1.\n"],
)
def test_a_text_of_one_piece_is_read_or_refused(tmp_path: Path, piece: str) -> None:
    """No piece of Markdown that is repeated makes the reader fail."""
    path = tmp_path / "TODO.md"
    path.write_text(piece * (5_000 // len(piece)), encoding="utf-8")
    try:
        assert read_backlog(path).features
    except InvalidInput as refusal:
        message = refusal.message
    else:
        message = "TODO.md: "
    assert "TODO.md: " in message


def test_a_checklist_over_its_limit_is_refused_before_it_is_parsed(refused: Callable[[str, str], str]) -> None:
    """Parsed Markdown takes much more memory than its text."""
    assert "larger than 2 MB" in refused("TODO.md", "- [ ] a\n" * 250_001)


@pytest.fixture
def backlog(tmp_path: Path) -> Path:
    """A folder of Backlog.md with one task."""
    folder = tmp_path / "backlog"
    (folder / "tasks").mkdir(parents=True)
    (folder / "config.yml").write_text('statuses: ["To Do", "Done"]\n')
    (folder / "tasks/task-1.md").write_text("---\nid: task-1\ntitle: One\n---\n")
    return folder


@pytest.mark.parametrize(
    ("front", "says"),
    [
        ("id: &a x\n", "line 2"),
        ("id: x\ntitle: *a\n", "line 3"),
        ("id: !!python/object x\n", "line 2"),
        ("labels: [a, *b]\n", "line 2"),
        ("title: 'x\n", "line 2"),
        ("labels: [a, [b]]\n", "line 2"),
        ("just text\n", "line 2"),
    ],
)
def test_more_of_yaml_than_tools_write_is_refused(backlog: Path, front: str, says: str) -> None:
    """Anchors, aliases, tags and lists in lists are refused with the file and the line."""
    (backlog / "tasks/task-2.md").write_text(f"---\n{front}---\n")
    with pytest.raises(InvalidInput, match=rf"backlog: in tasks/task-2\.md, {says} of its front matter"):
        read_backlog(backlog)


def test_front_matter_without_an_end_is_refused(backlog: Path) -> None:
    """The body is not taken for settings."""
    (backlog / "tasks/task-2.md").write_text("---\nid: a\n")
    with pytest.raises(InvalidInput, match="its front matter has no end"):
        read_backlog(backlog)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: plain text: with a colon", "plain text: with a colon"),
        ("a: plain # a comment", "plain"),
        ("a: 'it''s'", "it's"),
        (r'a: "one\n\"two\" é \\"', 'one\n"two" é \\'),
        ("a:", []),
        ("a: null", None),
        ("a: []", []),
        ("a: [x, 'y, z', \"w\"]", ["x", "y, z", "w"]),
        ("a:\n  - x\n  - 'y: z'", ["x", "y: z"]),
        ("a:\n- x\n- y", ["x", "y"]),
        ("a: >-\n  one\n  two\n\n  three", "one two\nthree"),
        ("a: |\n  one\n  two", "one\ntwo"),
        ("a: one\n  two", "one two"),
        ("a:\n  b: c\n  d: e", "b: c\nd: e"),
    ],
)
def test_front_matter_is_read_as_tools_write_it(text: str, value: Any) -> None:
    """Strings, lists and blocks, quoted or not."""
    assert parse_settings(f"{text}\nlast: 1".split("\n")) == {"a": value, "last": "1"}


def test_a_text_without_front_matter_is_all_body() -> None:
    """Only a line of three dashes begins it."""
    assert split_front_matter("# Title\n---\n") == ({}, "# Title\n---\n")


def test_links_and_pipes_in_a_folder_are_never_opened(backlog: Path, tmp_path: Path) -> None:
    """A symbolic link could lead anywhere, and a FIFO would block."""
    (tmp_path / "secret.md").write_text("---\nid: task-9\ntitle: Secret\n---\n")
    (backlog / "tasks/task-9.md").symlink_to(tmp_path / "secret.md")
    os.mkfifo(backlog / "tasks/task-8.md")
    assert [one.name for one in read_backlog(backlog).features] == ["One"]


def test_a_folder_has_a_limit_in_total(backlog: Path) -> None:
    """Many files of an allowed size are refused together, before they are parsed."""
    for number in range(2, 5):
        with (backlog / f"tasks/task-{number}.md").open("wb") as file:
            file.truncate(20_000_000)
    with pytest.raises(InvalidInput, match="more than 50 MB"):
        read_backlog(backlog)


def test_the_places_of_a_repository_are_regular(tmp_path: Path) -> None:
    """A FIFO, a folder or a link with the name of a backlog is none, and is not opened."""
    os.mkfifo(tmp_path / "TODO.md")
    (tmp_path / "prd.json").mkdir()
    (tmp_path / "elsewhere").write_text("- [ ] x")
    (tmp_path / "PLAN.md").symlink_to("elsewhere")
    assert places_in(tmp_path) == []


def test_ids_that_only_differ_in_capitals_are_two_tasks(tmp_path: Path) -> None:
    """beads has ids of letters, which are compared as they are."""
    lines = [{"id": one, "title": one, "issue_type": "task", "status": "open"} for one in ("b-A", "b-a")]
    path = tmp_path / "issues.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    assert [one.reference for one in read_backlog(path).features] == ["b-A", "b-a"]
