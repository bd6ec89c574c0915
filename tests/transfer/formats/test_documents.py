"""Every file is read, or refused with the reason and the place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dibs.transfer.formats import read_backlog
from dibs.transfer.formats.backlog import MAX_BYTES
from dibs_schema.refusals import InvalidInput
from transfer.formats.conftest import Read, Refused


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (b"\xef\xbb\xbf \n", "it is empty"),
        (b'[{"name": "a"}', "line 1, column 15: the file ends too early"),
        (b'[\n{"name": "a', "line 2, column 10: the file ends too early"),
        (b'[\n  {"name": "a",}\n]', "line 2, column "),
        (b'[{"name": "a" "id": 1}]', "line 1, column 15: a comma or a closing bracket is missing"),
        (b'[{"name": "a"}] rest', "line 1, column 17: the JSON has ended, and more"),
        (b'[{"name": "a\nb"}]', "line 1, column 13: a string there holds a bare line break"),
        (b'[{"name": "\\q"}]', "line 1, column 12: a backslash there"),
        (b"# Features\n- one\n", "line 1, column 1: a value is missing there"),
        (b'[\n{"name": "\xff"}]', "not UTF-8 at line 2, byte 11"),
        (b'\xef\xbb\xbf[\n{"name": "\xff"}]', "not UTF-8 at line 2, byte 11"),
        (b'{"id": 1, "name": "a"}\n{"id": 2, "name"}\n', "line 2, column 17"),
        (b'{"id": 1, "name": "a"}\nnot json\n', "line 2, column 1"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"7", "neither a list of features nor an object"),
        (b'{"rules": ["be kind"]}', "it has no list of features"),
        (b'{"features": [{"name": "a"}], "tasks": [{"name": "b"}]}', "several lists, 'features' and 'tasks'"),
        (b'{"main": {"tasks": []}, "next": {"tasks": []}}', "several lists, in 'main', 'next'"),
    ],
)
def test_a_file_that_is_no_feature_list_is_refused_with_the_place(refused: Refused, content: bytes, says: str) -> None:
    """The message has line and column, or what is missing."""
    assert says in refused(content).message


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (["a"], "[0]"),
        ([{"name": "a"}, None], "[1]"),
        ({"features": ["a"]}, "features[0]"),
        ({"features": [{"name": "a"}, 7]}, "features[1]"),
    ],
)
def test_an_entry_that_is_no_object_is_refused_with_its_path(refused: Refused, document: Any, field: str) -> None:
    """`field` is the path inside the file."""
    assert refused(document).details["field"] == field


def test_an_object_of_features_gives_them_their_ids(read: Read) -> None:
    """A key is the id of a feature without an id."""
    backlog = read({"items": {"A": {"name": "a"}, "B": {"id": "", "name": "b"}, "C": {"id": "own", "name": "c"}}})
    assert [feature.reference for feature in backlog.features] == ["A", "B", "own"]


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    """A path that is not a regular file is refused by name, without waiting for it."""
    os.mkfifo(tmp_path / "pipe")
    for name, says in {"gone.json": "no such file", ".": "is a folder", "pipe": "not a regular file"}.items():
        with pytest.raises(InvalidInput) as caught:
            read_backlog(tmp_path / name)
        assert says in caught.value.message
        assert str(tmp_path) in caught.value.message


def test_a_name_that_the_system_refuses_is_refused(tmp_path: Path) -> None:
    """A name longer than the file system takes is bad input, not a fault."""
    with pytest.raises(InvalidInput):
        read_backlog(tmp_path / ("x" * 5000))


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    """A sparse file one byte over 50 MB is refused without being parsed."""
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InvalidInput, match="larger than 50 MB"):
        read_backlog(path)


def test_a_byte_order_mark_is_no_hindrance(read: Read) -> None:
    """A byte order mark, which Windows editors write, is skipped."""
    assert read(b'\xef\xbb\xbf[{"name": "a"}]').features[0].name == "a"


def test_huge_numbers_and_odd_constants_are_read_as_text(read: Read) -> None:
    """Thousands of digits and NaN are no reason to fail, and 1.10 stays another id than 1.1."""
    digits = b"9" * 200
    content = b'[{"id": 1.10, "name": NaN}, {"id": 1.1, "name": ' + digits + b', "x": ' + b"9" * 5000 + b"}]"
    first, second = read(content).features
    assert (first.reference, first.name, second.reference, second.name) == (
        "1.10",
        "NaN",
        "1.1",
        digits.decode(),
    )


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        ([{"name": "a"}], ["[0]"]),
        ({"features": [{"name": "a"}]}, ["features[0]"]),
        ({"featureList": [{"name": "a"}]}, ["featureList[0]"]),
        ({"tasks": []}, []),
        ([], []),
        ({"items": {"A-1": {"name": "a"}}}, ["items.A-1"]),
        ({"plan": {"stories": [{"name": "a"}]}}, ["plan.stories[0]"]),
        ({"epics": {"auth": {"stories": [{"name": "a"}]}}}, ["epics.auth.stories[0]"]),
        ([{"epic": "auth", "tasks": [{"name": "a"}, {"name": "b"}]}], ["[0].tasks[0]", "[0].tasks[1]"]),
        ({"id": 1, "name": "a"}, ["feature"]),
        (b'{"id": 1, "name": "a"}\r\n\r\n{"id": 2, "name": "b"}\r\n', ["line 1", "line 3"]),
    ],
)
def test_the_features_are_found_where_projects_put_them(read: Read, document: Any, paths: list[str]) -> None:
    """A bare list, a list or an object of objects under a common key, groups, one wrapper, and lines."""
    assert [feature.path for feature in read(document).features] == paths


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (
            {"phases": [{"name": "Phase 1", "requirements": ["Sign in", "Sign out"]}]},
            [("Sign in", "Phase 1", 1), ("Sign out", "Phase 1", 2)],
        ),
        (
            {"features": {"backend": {"api": [{"name": "List"}], "db": [{"name": "Store"}]}, "web": {"name": "Page"}}},
            [("List", "api", 1), ("Store", "db", 2), ("Page", "general", 3)],
        ),
        ([{"content": "Write tests", "status": "pending"}], [("Write tests", "general", 1)]),
        ({"1": {"name": "a"}, "2": {"name": "b"}}, [("a", "general", 1), ("b", "general", 2)]),
        (
            {"milestones": [{"name": "M2", "tasks": [{"name": "late"}]}, {"name": "M1", "tasks": [{"name": "early"}]}]},
            [("late", "M2", 11), ("early", "M1", 2)],
        ),
        (
            {"phases": [{"name": "P", "epics": [{"name": "E", "tasks": [{"name": "a"}]}]}]},
            [("a", "E", 1)],
        ),
        ({"phases": [{"name": "Done", "tasks": []}, {"name": "Next", "tasks": [{"name": "a"}]}]}, [("a", "Next", 1)]),
        (
            {"stories": [{"name": "a", "requirements": ["It is fast"]}]},
            [("a", "general", 1)],
        ),
    ],
)
def test_groups_become_categories_and_phases(read: Read, document: Any, found: list[tuple[str, str, int]]) -> None:
    """Names, categories and priorities of what nested groups hold."""
    assert [(one.name, one.category, one.priority) for one in read(document).features] == found


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"features": {"backend": {"done": False}}}, "features.backend"),
        ({"phases": [{"name": "Phase 1", "tasks": [{"id": 7}]}]}, "phases[0].tasks[0]"),
        ([{"name": "a"}, {"status": "pending", "passes": False}], "[1]"),
    ],
)
def test_an_entry_without_a_text_is_refused_with_its_place(refused: Refused, document: Any, place: str) -> None:
    """It is no feature, and no other text stands in for one."""
    assert refused(document).details["field"] == place


def test_fields_beside_the_list_are_reported(read: Read) -> None:
    """Rules and metadata of the file are reported as ignored."""
    backlog = read({"project": "p", "rules": ["r"], "empty": None, "features": [{"name": "a"}]})
    assert backlog.ignored == ["project of the file (1)", "rules of the file (1)"]
    assert backlog.format == "JSON list under 'features'"


def test_a_database_without_a_driver_is_refused(refused: Refused) -> None:
    """The caller chooses the SQLite library; this package never imports one by itself."""
    assert "SQLite database" in refused(b"SQLite format 3\0" + bytes(100)).message
