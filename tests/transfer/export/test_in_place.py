"""`dibs export --in-place` says the states in a file that was imported; every other byte stays."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.shells import Shell
from cli.test_irregular_files import a_fifo, a_folder
from dibs.transfer.formats.backlog import ReadOptions
from dibs.transfer.formats.state_edits import State
from dibs.transfer.formats.state_words import StateWords
from dibs.transfer.in_place import ImportedFile
from dibs_schema.refusals import Busy, InvalidInput
from dibs_schema.status import Status

PRD = """{
\t"project": "Shop",   "branchName": "ralph/cart",
  "userStories": [
    { "id": "US-001", "title": "A \\"passes\\": false", "acceptanceCriteria": ["\\u00e9t\\/a"], "priority": 1,
      "passes" : false , "notes": "" },
    {"passes": false, "notes": "see \\u2192", "title": "Second", "priority": 2, "id": "US-002" },
    {"id": "US-003", "title": "Third", "priority": 3, "passes": true, "notes": "", "x": 1.50e+3}
  ]
}"""


def test_passes_and_notes_of_a_prd_are_said(shell: Shell) -> None:
    """Only the values of `passes` and `notes` change, and a second export changes nothing."""
    file = shell.folder / "prd.json"
    file.write_text(PRD, newline="")
    assert shell.dibs("import", file).returncode == 0
    assert shell.dibs("note", 1, "Uses the new form.").returncode == 0
    assert shell.dibs("note", 2, "A → B").returncode == 0
    claim_and_pass(shell, 1)
    shell.dibs("fail", 3, "It broke.")
    done = shell.dibs("export", "--in-place", file)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    expected = PRD.replace('"passes" : false , "notes": ""', '"passes" : true , "notes": "Uses the new form."')
    expected = expected.replace('"notes": "see \\u2192"', '"notes": "see \\u2192\\nA \\u2192 B"')
    expected = expected.replace('"passes": true, "notes": "", "x"', '"passes": false, "notes": "", "x"')
    assert file.read_text() == expected
    assert "3 features of 3 changed" in done.stdout
    again = shell.dibs("export", "--in-place", file)
    assert again.stdout.startswith("0 features of 3 changed")
    assert file.read_text() == expected


def claim_and_pass(shell: Shell, feature: int) -> None:
    assert shell.dibs("claim", feature, DIBS_AGENT="ada").returncode == 0
    assert shell.dibs("pass", feature, DIBS_AGENT="ada").returncode == 0


@dataclass(frozen=True)
class Slot:
    """The value of a member that may change: of entry `entry`, the kind `passes`, `status` or `notes`."""

    entry: int
    kind: str
    before: str


SPACE = st.text(" \t\n\r", max_size=3)
WORDS = {"todo": Status.PENDING, "done": Status.PASSING, "blocked": Status.STUCK, "cancelled": Status.ARCHIVED}
STATES = {
    "todo": State(Status.PENDING),
    "done": State(Status.PASSING),
    "blocked": State(Status.STUCK),
    "cancelled": State(Status.ARCHIVED, Status.PENDING),
}
DECOYS = st.sampled_from(
    ['"passes": false', "status", '\\", "passes": true, "', "notes", "[ ]", "é\u2028🎉", "", "{", "]"]
)


@st.composite
def string(draw: st.DrawFn, text: str) -> str:
    """A JSON string for the text, with any escapes."""
    return '"' + "".join(draw(st.sampled_from(_spellings(one))) for one in text) + '"'


def _spellings(one: str) -> list[str]:
    raw = json.dumps(one, ensure_ascii=False)[1:-1]
    return [raw, raw, raw, json.dumps(one)[1:-1], *(["\\/"] if one == "/" else []), *_escape(one)]


def _escape(one: str) -> list[str]:
    return [f"\\u{ord(one):04X}"] if ord(one) < 0x10000 else []


@st.composite
def documents(draw: st.DrawFn) -> tuple[list[str | Slot], list[str]]:
    """The parts of a file, and the word for the state of each entry in it."""
    words = draw(st.lists(st.sampled_from(list(WORDS)), min_size=1, max_size=4))
    lines = draw(st.booleans())
    space = st.just("") if lines else SPACE
    parts: list[str | Slot] = []
    for number, word in enumerate(words):
        between = draw(st.sampled_from(["\n", "\n\n", "\r\n"])) if lines else ","
        parts += [between if number else "", draw(space)]
        members = draw(st.permutations(list(_members(draw, number, word))))
        for place, (key, value) in enumerate(members):
            parts += ["," if place else "{", draw(space), draw(string(key)), draw(space), ":", draw(space), value]
            parts.append(draw(space))
        parts.append("}")
    if lines:
        return [*parts, draw(st.sampled_from(["", "\n"]))], words
    head, tail = draw(
        st.sampled_from(
            [("[", "]"), ('{"features": [', "]}"), ('{"x": {"passes": false}, "userStories":[', '], "y": 0}')]
        )
    )
    return [draw(SPACE), head, *parts, draw(SPACE), tail, draw(SPACE)], words


def _members(draw: st.DrawFn, number: int, word: str) -> Any:
    yield "id", str(number + 1)
    yield "name", draw(string(f"n{number} {draw(DECOYS)}"))
    yield "description", draw(string(draw(DECOYS) + "."))
    yield "status", Slot(number, "status", draw(string(word)))
    if word in ("todo", "done") and draw(st.booleans()):
        yield "passes", Slot(number, "passes", "true" if word == "done" else "false")
    if draw(st.booleans()):
        yield (
            "extra",
            draw(st.sampled_from(['{"passes":false,"status": "todo"}', '["notes", {"passes": true}]', "-1.50E+3"])),
        )


ENCODINGS = {"utf-8": b"", "utf-8-sig": b"", "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents(), st.data())
def test_every_byte_outside_the_states_stays(
    tmp_path: Path, document: tuple[list[str | Slot], list[str]], data: st.DataObject
) -> None:
    """Whatever spaces, order, escapes and encoding a file has, only the values that tell the state change."""
    parts, words = document
    wanted = data.draw(st.lists(st.sampled_from([None, *STATES]), min_size=len(words), max_size=len(words)))
    encoding = data.draw(st.sampled_from(list(ENCODINGS)))
    before = "".join(one.before if isinstance(one, Slot) else one for one in parts)
    file = tmp_path / "list.json"
    file.write_bytes(ENCODINGS[encoding] + before.encode(encoding))
    imported = ImportedFile.open(file)
    spelled = StateWords(words)

    def after(slot: Slot) -> str:
        new = wanted[slot.entry]
        if new is None or new == words[slot.entry]:
            return slot.before
        if slot.kind == "passes":
            return "true" if new == "done" else "false"
        return json.dumps(spelled.word(WORDS[new]))

    edited = imported.with_states([STATES[one] if one else None for one in wanted])
    expected = "".join(after(one) if isinstance(one, Slot) else one for one in parts)
    assert edited.content == ENCODINGS[encoding] + expected.encode(encoding)
    imported.write(edited)
    again = ImportedFile.open(file)
    states = [(one.status, one.archived_from) for one in again.backlog.features]
    asked = [STATES[new or old] for new, old in zip(wanted, words, strict=True)]
    assert states == [(one.status, one.archived_from) for one in asked]
    assert again.with_states(asked).content == edited.content


@pytest.mark.parametrize(
    ("values", "state", "expected"),
    [
        ({"passes": False}, State(Status.STUCK), {"passes": False}),
        ({"passes": "no"}, State(Status.PASSING), {"passes": "yes"}),
        ({"done": 0}, State(Status.PASSING), {"done": 1}),
        ({"Passes": False, "in_progress": True}, State(Status.PASSING), {"Passes": True, "in_progress": False}),
        ({"status": "fail"}, State(Status.PASSING), {"status": "pass"}),
        ({"status": "TODO"}, State(Status.ARCHIVED, Status.PENDING), {"status": "CANCELLED"}),
        ({"status": "in-progress"}, State(Status.PENDING), {"status": "in-progress"}),
        ({"status": "✅ Done"}, State(Status.PENDING), {"status": "todo"}),
        ({"status": "todo"}, State(Status.NEEDS_HUMAN), {"status": "blocked"}),
        (
            {"passes": True, "needs_human_input": False},
            State(Status.NEEDS_HUMAN),
            {"passes": False, "needs_human_input": True},
        ),
    ],
)
def test_a_state_is_said_in_the_words_of_the_file(
    tmp_path: Path, values: Mapping[str, Any], state: State, expected: Mapping[str, Any]
) -> None:
    """Each field keeps its form, and words are those of the file, or go with them."""
    edited = edit(tmp_path, [{"id": 1, "name": "One", **values}], [state])
    assert json.loads(edited) == [{"id": 1, "name": "One", **expected}]


def edit(tmp_path: Path, entries: list[dict[str, Any]], states: list[State | None]) -> bytes:
    """Return the file with the states."""
    file = tmp_path / "list.json"
    file.write_text(json.dumps(entries, ensure_ascii=False))
    return ImportedFile.open(file).with_states(states).content


def test_a_feature_without_a_field_for_its_state_is_reported(shell: Shell) -> None:
    """Nothing is added to a file; entries that are not in the backlog stay, too."""
    file = shell.folder / "feature_list.json"
    file.write_text('[{"id": "a", "name": "One"}, {"id": "b", "name": "Two", "passes": false}]')
    shell.dibs("import", file)
    for one in (1, 2):
        claim_and_pass(shell, one)
    file.write_text(
        '[{"id": "a", "name": "One"}, {"id": "b", "name": "Two", "passes": false}, {"id": "c", "name": "New"}]'
    )
    done = shell.dibs("export", "--in-place", file)
    assert "1 feature of 3 changed" in done.stdout
    assert "not in" in done.stderr
    assert "without a field for the state: 1 feature" in done.stderr
    assert json.loads(file.read_text())[0] == {"id": "a", "name": "One"}
    assert json.loads(file.read_text())[1]["passes"] is True


def test_a_file_that_was_not_imported_is_refused(shell: Shell) -> None:
    file = shell.folder / "feature_list.json"
    file.write_text('[{"id": "a", "name": "One", "passes": true}]')
    assert shell.dibs("export", "--in-place", file).returncode == 2
    assert file.read_text() == '[{"id": "a", "name": "One", "passes": true}]'


@pytest.mark.only_on("sqlite", reason="it is about files")
@pytest.mark.parametrize("kind", [a_fifo, a_folder, lambda path: path.symlink_to(path.with_name("target"))])
@pytest.mark.parametrize("option", ["--in-place", "-o"])
def test_only_a_regular_file_is_replaced(shell: Shell, kind: Callable[[Path], None], option: str) -> None:
    """A symbolic link, a FIFO or a folder is refused for what it is, and stays."""
    (shell.folder / "target").write_text("[]")
    kind(shell.folder / "odd")
    before = (shell.folder / "odd").lstat().st_mode
    done = shell.dibs("export", option, "odd", *(["--force"] if option == "-o" else []))
    assert (done.returncode, "not a regular file" in done.stderr) == (2, True), done.stderr
    assert (shell.folder / "odd").lstat().st_mode == before
    assert (shell.folder / "target").read_text() == "[]"


@pytest.mark.parametrize("changed", [b'[{"id": "a", "name": "One", "passes": false, "new": 1}]', b""])
def test_a_file_that_changes_meanwhile_is_left_alone(tmp_path: Path, changed: bytes) -> None:
    """What another program writes between reading and writing is not lost."""
    file = tmp_path / "list.json"
    file.write_text('[{"id": "a", "name": "One", "passes": false}]')
    imported = ImportedFile.open(file)
    edited = imported.with_states([State(Status.PASSING)])
    file.write_bytes(changed)
    with pytest.raises(Busy, match="changed"):
        imported.write(edited)
    assert file.read_bytes() == changed
    assert [one.name for one in tmp_path.iterdir()] == ["list.json"]


def test_the_mode_of_the_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    file.write_text('[{"id": "a", "name": "One", "passes": false}]')
    file.chmod(0o640)
    imported = ImportedFile.open(file)
    imported.write(imported.with_states([State(Status.PASSING)]))
    assert file.stat().st_mode & 0o777 == 0o640
    assert json.loads(file.read_text())[0]["passes"] is True


def test_a_database_is_not_edited(tmp_path: Path) -> None:
    file = tmp_path / "features.db"
    file.write_bytes(b"SQLite format 3\0" + bytes(100))
    with pytest.raises(InvalidInput, match="only read"):
        ImportedFile.open(file)


TASKS = """{"master": {"tasks": [
  {"id": 1, "title": "One", "description": "a", "details": "b", "testStrategy": "", "priority": "high",
   "dependencies": [], "status": "in-progress", "subtasks": [{"id": 1, "title": "x", "status": "pending"}] },
  {"id": 2, "title": "Two", "details": "", "priority":"low", "status" : "pending", "dependencies": [1], "subtasks": []}
 ], "metadata": {"status": "pending"}}, "other": {"tasks": [{"id": 1, "title": "One", "dependencies": [], "details": "c",
 "status": "pending", "subtasks": []}], "metadata": {}}}"""


def test_statuses_of_task_master_are_said(shell: Shell) -> None:
    """Only the status of tasks changes, in the words of Task Master; subtasks and other tags stay."""
    file = shell.folder / ".taskmaster/tasks/tasks.json"
    file.parent.mkdir(parents=True)
    file.write_text(TASKS)
    assert shell.dibs("import", file).returncode == 0
    claim_and_pass(shell, 1)
    assert shell.dibs("update", 2, "--archive").returncode == 0
    done = shell.dibs("export", "--in-place", file)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert file.read_text() == MASTER_DONE


MASTER_DONE = TASKS.replace(': "in-progress"', ': "done"').replace('"status" : "pending"', '"status" : "cancelled"')


def test_one_tag_of_task_master_is_said(tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"
    file.write_text(TASKS)
    imported = ImportedFile.open(file, ReadOptions(tag="master"))
    states = [State(Status.PASSING), State(Status.ARCHIVED, Status.PENDING)]
    assert imported.with_states(states).content == MASTER_DONE.encode()


CHECKLIST = """\ufeff# Shop

## Cart
- [ ] **Add** `src/a.py`
  - [ ] a step
  - see [x]
* [X]  Remove [ ]
1. [ ] Pay

```
- [ ] code
```
- [~] Last""".replace("\n", "\r\n")


def test_boxes_of_a_checklist_are_said(shell: Shell) -> None:
    """Only the character in the box of an item changes; steps, code, other boxes and line ends stay."""
    file = shell.folder / "TODO.md"
    file.write_bytes(CHECKLIST.encode())
    assert shell.dibs("import", file).returncode == 0
    claim_and_pass(shell, 1)
    claim_and_pass(shell, 3)
    assert shell.dibs("fail", 2, "It broke.").returncode == 0
    done = shell.dibs("export", "--in-place", file)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    expected = CHECKLIST.replace("- [ ] **Add**", "- [X] **Add**").replace("* [X]", "* [ ]").replace("1. [ ]", "1. [X]")
    assert file.read_bytes() == expected.encode()
    assert shell.dibs("export", "--in-place", file).stdout.startswith("0 features")


BOX = st.sampled_from(["- [ ] ", "* [x] ", "+ [X] ", "1. [ ] ", "  - [x] ", "- [~] ", "-   [ ] "])
OTHER = st.sampled_from(
    ["", "text [ ] more", "## Heading", "- bullet [x]", "> quote", "```\n- [ ] code\n```", "| - [ ] |", "---"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.tuples(BOX, st.sampled_from(["a [ ]", "**b**", "[x]", "`c`"])) | OTHER, min_size=1, max_size=12),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    data=st.data(),
)
def test_nothing_but_boxes_changes(
    tmp_path: Path, lines: list[tuple[str, str] | str], end: str, last: bool, data: st.DataObject
) -> None:
    """Whatever stands around the items, a text with the states differs from before in boxes of items alone."""
    text = end.join("".join(one) for one in lines).replace("\r\n", "\n").replace("\n", end) + (end if last else "")
    file = tmp_path / "TODO.md"
    file.write_bytes(text.encode())
    try:
        imported = ImportedFile.open(file)
    except InvalidInput:  # it has no items
        return
    before = imported.backlog.features
    wanted = data.draw(st.lists(st.booleans(), min_size=len(before), max_size=len(before)))
    edited = imported.with_states([State(Status.PASSING if one else Status.PENDING) for one in wanted])
    after = edited.content.decode()
    assert len(after) == len(text)
    changed = [place for place, pair in enumerate(zip(text, after, strict=True)) if pair[0] != pair[1]]
    assert all((text[place - 1], text[place + 1]) == ("[", "]") for place in changed)
    assert (
        len(changed)
        == edited.changed
        == sum(one != (old.status is Status.PASSING) for one, old in zip(wanted, before, strict=True))
    )
    imported.write(edited)
    assert [one.status is Status.PASSING for one in ImportedFile.open(file).backlog.features] == wanted
