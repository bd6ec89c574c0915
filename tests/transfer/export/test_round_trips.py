"""Importing an export adds and changes nothing in its own backlog, and brings everything into another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cli.shells import Shell
from dibs.database import Database, open_database
from dibs.database.transaction import Transaction
from dibs.settings import Settings
from dibs.transfer.export import exported_features, write_export
from dibs.transfer.formats import own_export, read_backlog
from dibs.transfer.formats.backlog import SourceFile
from dibs.transfer.formats.export_formats import FORMATS
from dibs.transfer.formats.exported import FIELDS, Header
from dibs.transfer.formats.json_export import join_texts, split_texts
from dibs.transfer.importer import Import
from dibs.verbs import ask_person, outcome, update
from dibs_schema.answers import Imported
from dibs_schema.evidence import EvidenceFields
from dibs_schema.refusals import InvalidInput
from dibs_schema.sanitize import clean
from dibs_schema.status import Status
from races.backlog import times
from transfer.formats.test_properties import keeps_the_limits
from verbs import stage

projects = count()

MEANINGFUL = [
    *(
        "a\nb",
        "- [ ] a",
        "- [x] **b**",
        "# c",
        "<!-- d -->",
        "--> e",
        "`f`",
        "  g\n\n    h",
        "1. i",
        "| j |",
        "*",
        "\\",
        "a  b",
    ),
    *(
        '"',
        "---",
        "_Requirements: 1.2_",
        "[US1] x",
        "(Priority: P1)",
        "depends on 1",
        "e.g. this. That.",
        "null",
        "x" * 250,
    ),
]
"""Texts that mean something in some format."""
TEXT = st.text(max_size=60) | st.sampled_from(MEANINGFUL)


def texts(most: int) -> st.SearchStrategy[str]:
    """Texts as callers may send them."""
    return TEXT.map(lambda one: clean(one).strip()[:most].strip()).filter(bool)


EVIDENCE = st.builds(
    lambda summary, commit: EvidenceFields.model_validate(
        {"summary": summary, "commit": commit, "commands": [{"command": summary, "exit_code": 0}]}
    ),
    texts(200),
    texts(40),
)
FEATURES = st.lists(
    st.fixed_dictionaries(
        {
            "category": texts(100),
            "name": texts(255),
            "description": texts(1000),
            "steps": st.lists(texts(500), min_size=1, max_size=3),
            "priority": st.none() | st.integers(-5, 5),
            "paths": st.sampled_from([[], ["src/**"], ["docs/*.md", "a b.txt"]]),
            "status": st.sampled_from([*Status]),
            "then": st.sampled_from(["stay", "stay", "archive", "fail", "answer"]),
            "notes": st.lists(texts(300), max_size=2),
            "evidence": EVIDENCE,
            "needs": st.sets(st.integers(0, 4), max_size=2),
        }
    ),
    max_size=5,
)
LISTS = st.lists(
    st.fixed_dictionaries({"id": texts(60), "name": texts(200), "notes": texts(200), "passes": st.booleans()}),
    max_size=3,
    unique_by=lambda one: " ".join(str(one["id"]).split()),
)


@pytest.fixture(scope="module")
def backlogs(new_db: Callable[[], Any]) -> Iterator[Callable[[], Database]]:
    """Opens an empty project of one database."""
    with ExitStack() as opened:
        db = opened.enter_context(new_db())

        def make() -> Database:
            database = open_database(Settings(db=db, project=f"project {next(projects)}"))
            opened.callback(database.close, patience=5)
            return database

        yield make


def fill(database: Database, features: list[dict[str, Any]], path: Path, lists: list[list[dict[str, Any]]]) -> None:
    """Give a project features in many states, made by calls and by imports of lists that may have the same ids."""
    for number, entries in enumerate(lists):
        path.write_text(json.dumps(entries))
        run_import(database, path, source=f"list {number}")
    ids = [stage_one(database, one) for one in features]
    for place, one in enumerate(features):
        needs = [ids[other] for other in one["needs"] if other < place]
        stage.depend(database, ids[place], *needs)


def stage_one(database: Database, one: dict[str, Any]) -> int:
    """Create a feature in a status with its notes, change that again, and return its id."""
    texts = {name: one[name] for name in ("category", "name", "description", "steps", "priority", "paths")}
    placed = stage.place(database, one["status"], **texts)
    feature, status, then = placed.id, placed.status, one["then"]

    def change(tx: Transaction) -> None:
        for note in one["notes"]:
            update.add_note(tx, "ada", feature, note)
        if status is Status.PASSING:
            outcome.mark_passing(tx, "ada", feature, None, one["evidence"])
        if status is Status.PASSING and then == "fail":
            outcome.mark_failing(tx, "ada", feature, one["description"][:500])
        if status is Status.NEEDS_HUMAN and then == "answer":
            ask_person.answer_feature(tx, "Ann", feature, stage.REPLY)
        if status not in (Status.IN_PROGRESS, Status.ARCHIVED) and then == "archive":
            update.change(tx, "planner", feature, {}, archived=True)

    database.write_now(change)
    return feature


def run_import(database: Database, path: Path, source: str | None = None) -> Imported:
    """Import a file."""
    found = read_backlog(path)
    one = Import(found, source or found.source or "file", named=source is not None)
    return database.write_now(lambda tx: one.apply(tx, one.compare(tx)))[0]


def export(database: Database, form: str, path: Path) -> bytes:
    """Export to a file, and return its content."""
    out = BytesIO()
    database.read_now(lambda tx: write_export(tx, FORMATS[form].write, out))
    path.write_bytes(out.getvalue())
    return out.getvalue()


@settings(max_examples=times(5, 200), deadline=None, suppress_health_check=[*HealthCheck])
@given(features=FEATURES, lists=st.lists(LISTS, max_size=2), form=st.sampled_from([*FORMATS]))
def test_any_backlog_comes_back(
    backlogs: Callable[[], Database],
    tmp_path: Path,
    features: list[dict[str, Any]],
    lists: list[list[dict[str, Any]]],
    form: str,
) -> None:
    """In its own backlog an export of any format adds nothing and differs in nothing; in another it brings everything."""
    database, other, file = backlogs(), backlogs(), tmp_path / "export"
    fill(database, features, tmp_path / "list.json", lists)
    before = database.read_now(lambda tx: list(exported_features(tx)))
    content = export(database, form, file)
    done = run_import(database, file)
    assert (done.added, done.present, done.differing, done.gone) == (0, len(before), {}, [])
    assert export(database, form, file) == content
    assert run_import(other, file).added == len(before)
    again = run_import(other, file)
    assert (again.added, again.differing) == (0, {})
    there = other.read_now(lambda tx: list(exported_features(tx)))
    assert list(map(essence, there)) == list(map(essence, before))
    for one in (database, other):
        one.close(patience=5)


def essence(feature: Any) -> Any:
    """Return what another backlog has of a feature."""
    return {
        name: value for name, value in feature.items() if name not in ("source", "reference", "created_at", "passed_at")
    }


BARE = st.fixed_dictionaries(
    {"category": texts(100), "name": texts(255), "description": texts(500), "steps": st.lists(texts(200), max_size=3)},
    optional={"notes": st.lists(texts(200), min_size=1, max_size=3), "last_failure": texts(100)},
)


@settings(max_examples=300, deadline=None)
@given(given=st.lists(BARE, max_size=3), form=st.sampled_from([*FORMATS]))
def test_every_text_comes_back_in_every_format(given: list[dict[str, Any]], form: str) -> None:
    """Whatever a text looks like in a format, the reader returns it as it was."""
    common = {"priority": 7, "status": "pending", "passes": False, "created_at": 0.0, "passed_at": None}
    features = [{"id": number, **one, **common} for number, one in enumerate(given, start=1)]
    backlog = own_export.read(source("".join(FORMATS[form].write(Header("abc", "shop"), features))))
    names = [*BARE_FIELDS, "reference", "priority"]
    found = [{name: getattr(one, name) for name in names} for one in backlog.features]
    assert found == [
        {name: one.get(name, [] if name == "notes" else None) for name in BARE_FIELDS}
        | {"reference": str(one["id"]), "priority": 7}
        for one in features
    ]


BARE_FIELDS = ("category", "name", "description", "steps", "notes", "last_failure")


def source(text: str) -> SourceFile:
    return SourceFile(Path("export"), text.encode())


WORDS = [*Status, "closed", "dibs-1", "done"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.text(max_size=5) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["dibs", "status", "id", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = [*FIELDS, "title", "acceptance_criteria", "metadata"]
STATES = {"status": st.sampled_from(WORDS), "passes": st.booleans(), "archived_from": st.sampled_from(WORDS)}
ODD = (
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6)
    | st.fixed_dictionaries({"name": st.just("a"), **STATES})
    | VALUES
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ODD, max_size=3), st.sampled_from([*FORMATS]))
def test_an_odd_export_is_read_or_refused(entries: list[Any], form: str) -> None:
    """No value of an edited export raises anything but InvalidInput."""
    mark = {"export": 1, "backlog": "x"}
    if form == "beads":
        text = "\n".join(map(json.dumps, [{"_schema": "beads-jsonl/1", "dibs": mark}, *entries]))
    elif form == "markdown":
        items = (f"- [ ] {place}\n  <!-- {json.dumps(one)} -->\n" for place, one in enumerate(entries))
        text = f"<!-- dibs {json.dumps(mark)} -->\n" + "".join(items)
    else:
        text = json.dumps({"dibs": mark, "features" if form == "feature_list" else "userStories": entries})
    with suppress(InvalidInput):
        keeps_the_limits(own_export.read(source(text)))


@given(st.lists(texts(100), max_size=4))
@example(["a\n- b"])
@example(["- a"])
@example(["- a", "b\n  c\n\n- d"])
def test_notes_in_one_text_can_be_told_apart(notes: list[str]) -> None:
    assert split_texts(join_texts(notes)) == notes


def test_a_person_may_edit_an_export(shell: Shell) -> None:
    """Entries may be added with no more than a name, and what was changed is reported as of every other list."""
    (shell.folder / "list.json").write_text('[{"id": "a", "name": "One"}, {"id": "b", "name": "Two"}]')
    shell.dibs("import", "list.json")
    shell.dibs("export", "-o", "backlog.json")
    document = json.loads((shell.folder / "backlog.json").read_text())
    document["features"][0]["description"] = "Another."
    document["features"][1] |= {"passes": True, "status": "passing"}
    document["features"].append({"name": "Three", "dependencies": [2], "odd": 1})
    (shell.folder / "backlog.json").write_text(json.dumps(document))
    done = shell.json("import", "backlog.json", "--update")
    assert (done["added"], done["present"], done["differing"]) == (1, 2, {"description": 1, "status": 1})
    assert done["ignored"] == ["odd (1)"]
    again = shell.json("import", "backlog.json")
    assert (again["added"], again["present"], again.get("differing", {})) == (0, 3, {})
    assert [one["id"] for one in shell.json("get", 3)["dependencies"]] == [2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dibs": {"export": 2, "backlog": "x"}}, "version 2"),
        ({"features": 1}, "no list of features"),
        ({"features": [{"id": 1}]}, r"features\[0\]\.name: is required"),
        ({"features": [{"name": "a", "steps": [1]}]}, r"features\[0\]\.steps\[0\]: must be a string"),
        ({"features": ["a"]}, r"features\[0\]: must be an object"),
        ({"features": [{"name": "a", "dependencies": [7]}]}, r"features\[0\]\.dependencies\[0\]"),
    ],
)
def test_a_damaged_export_is_refused_with_the_place(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = tmp_path / "backlog.json"
    file.write_text(json.dumps({"dibs": {"export": 1, "backlog": "x"}, "features": []} | change))
    with pytest.raises(InvalidInput, match=message):
        read_backlog(file)
