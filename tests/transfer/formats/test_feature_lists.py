"""Fields and words of feature lists become a feature's fields, or are reported, or are refused with their path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dibs.transfer.formats import ImportedFeature, ReadOptions, read_backlog
from dibs.transfer.formats.backlog import DESCRIPTION_LENGTH, NAME_LENGTH
from dibs_schema.status import Status
from transfer.formats.conftest import Read, Refused

One = Callable[..., ImportedFeature]


def with_names(listed: list[Any]) -> list[Any]:
    """Give each feature that has no text a name of its own."""
    return [{"name": f"feature {place}"} | one if one else one for place, one in enumerate(listed)]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("pass passed passing done complete completed verified Done DONE ✅Done", Status.PASSING),
        ("todo to-do open pending not_started not-started NotStarted failing failed skipped", Status.PENDING),
        ("in-progress in_progress inProgress doing WIP", Status.PENDING),
        ("archived cancelled canceled won't-fix", Status.ARCHIVED),
        ("blocked BLOCKED stuck", Status.STUCK),
        ("needs_human needs-human-input", Status.NEEDS_HUMAN),
        ("sideways", Status.PENDING),
    ],
)
def test_status_words(one: One, words: str, status: Status) -> None:
    """Case, hyphens, blanks and decoration of a status word do not matter; an unknown one is pending."""
    for word in words.split():
        assert one(status=word).status is status
        assert one(state=word.replace("_", " ")).status is status


def test_an_unknown_status_is_reported(read: Read) -> None:
    """An unknown status word is reported."""
    backlog = read([{"name": "a", "status": "sideways"}, {"name": "b", "status": "sideways"}, {"name": "c"}])
    assert backlog.unknown == ["status 'sideways': other fields decide, else it is pending (2)"]
    assert "no status -> pending (3)" in backlog.mapped


@pytest.mark.parametrize("field", ["passes", "passing", "done", "completed"])
@pytest.mark.parametrize(
    ("value", "status"), [(True, "passing"), (False, "pending"), (1, "passing"), ("no", "pending")]
)
def test_booleans(one: One, field: str, value: Any, status: str) -> None:
    """A boolean, or a word for one, makes a feature passing or pending."""
    assert one(**{field: value}).status == status


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"status": "todo", "passes": True}, Status.PENDING),
        ({"status": "done", "passes": False}, Status.PENDING),
        ({"status": "done", "passes": True}, Status.PASSING),
        ({"status": "sideways", "passes": True}, Status.PASSING),
        ({"status": "archived", "passes": True}, Status.ARCHIVED),
        ({"passes": True, "done": False}, Status.PENDING),
        ({"passes": False, "in_progress": True}, Status.PENDING),
        ({"completed": "2026-01-01"}, Status.PENDING),
    ],
)
def test_a_feature_passes_only_if_nothing_says_otherwise(one: One, fields: dict[str, Any], status: Status) -> None:
    """If a status word and a boolean contradict, the feature is pending."""
    feature = one(**fields)
    assert feature.status is status
    assert feature.archived_from is (Status.PASSING if status is Status.ARCHIVED else None)


def test_a_contradiction_is_reported(read: Read) -> None:
    """A contradiction between status fields is reported."""
    backlog = read([{"name": "a", "status": "todo", "passes": True}])
    assert backlog.ignored == ["status 'todo', which a boolean field that says true contradicts: pending (1)"]


def test_what_is_blocked_by_unfinished_features_is_pending(read: Read) -> None:
    """A blocked feature waits for its dependencies; where they are done, a person must look."""
    listed = [
        {"id": 1, "name": "a", "status": "todo"},
        {"id": 2, "name": "b", "status": "done"},
        {"id": 3, "name": "c", "status": "blocked", "dependencies": [1, 2]},
        {"id": 4, "name": "d", "status": "blocked", "dependencies": [2]},
        {"id": 5, "name": "e", "status": "blocked"},
    ]
    assert [feature.status for feature in read(listed).features[2:]] == ["pending", "stuck", "stuck"]


@pytest.mark.parametrize(
    ("fields", "name", "description"),
    [
        ({"name": "N", "description": "D"}, "N", "D"),
        ({"name": "slug_name", "title": "A title", "description": "D"}, "A title", "D"),
        ({"summary": "S", "description": "D"}, "S", "D"),
        ({"title": "T", "summary": "S"}, "T", "S"),
        ({"title": "T"}, "T", "T"),
        ({"title": " Two\n  lines "}, "Two lines", "Two lines"),
        ({"description": "A short sentence. And more."}, "A short sentence", "A short sentence. And more."),
        ({"description": "# Heading\n\nText."}, "Heading", "# Heading\n\nText."),
        ({"description": "Use v1.2 of it"}, "Use v1.2 of it", "Use v1.2 of it"),
        ({"feature": "Log in"}, "Log in", "Log in"),
        ({"content": "Write tests"}, "Write tests", "Write tests"),
        (
            {"description": "Sort it, e.g. by name. And so on."},
            "Sort it, e.g. by name",
            "Sort it, e.g. by name. And so on.",
        ),
        ({"title": 404, "description": ["one", "two"]}, "404", "one\ntwo"),
        ({"title": "T", "details": "More"}, "T", "More"),
        ({"title": "\x1b[1mT\u202e", "description": "a\r\nb\x00"}, "T", "a\nb"),
    ],
)
def test_name_and_description(read: Read, fields: dict[str, Any], name: str, description: str) -> None:
    """Each comes from its own field, a substitute field, or the other field, and both are cleaned."""
    (feature,) = read([fields]).features
    assert (feature.name, feature.description) == (name, description)


def test_a_derived_name_is_cut_between_words(read: Read) -> None:
    """A description without an end of sentence gives a name within the limit, marked as cut."""
    (feature,) = read([{"description": "word " * 200}]).features
    assert len(feature.name) <= NAME_LENGTH
    assert feature.name.endswith("word…")
    (unbroken,) = read([{"description": "x" * 1000}]).features
    assert unbroken.name == "x" * (NAME_LENGTH - 1) + "…"


def test_a_summary_too_long_for_a_name_is_the_description(read: Read) -> None:
    """A substitute field that is too long for a name becomes the description, and the name is made from it."""
    (feature,) = read([{"summary": "This is the gist of it. " + "More. " * 100}]).features
    assert feature.name == "This is the gist of it"
    assert feature.description.startswith("This is the gist of it. More.")


@pytest.mark.parametrize(
    ("fields", "category"),
    [
        ({"category": "C", "feature": "F", "type": "T"}, "C"),
        ({"area": "A", "type": "T"}, "A"),
        ({"component": "web"}, "web"),
        ({"epic": "E"}, "E"),
        ({"feature": "F1: Authentication", "description": "Log in"}, "F1: Authentication"),
        ({"type": "x" * 101}, "general"),
        ({}, "general"),
    ],
)
def test_category(one: One, fields: dict[str, Any], category: str) -> None:
    """The category comes from the first suitable field, or is `general` if there is none."""
    assert one(**fields).category == category


@pytest.mark.parametrize(
    ("fields", "steps"),
    [
        ({"steps": ["a", " b ", "", None]}, ["a", "b"]),
        ({"steps": []}, []),
        (
            {"steps": "1. Open it\n2) Close it\n\n- [ ] Look\n* [x] Listen"},
            ["Open it", "Close it", "Look", "Listen"],
        ),
        ({"doneCriteria": ["a"]}, ["a"]),
        ({"acceptance_criteria": "a\nb"}, ["a", "b"]),
        ({"steps": ["a"], "acceptanceCriteria": ["a", "b"], "verification": "c"}, ["a", "b", "c"]),
        ({"steps": ["again", "again"]}, ["again", "again"]),
        ({"steps": [{"step": 1, "action": "Click", "expected": "It opens"}]}, ["Click; Expected: It opens"]),
        ({"steps": [{"given": "a", "when": "b", "then": "c"}]}, ["Given a; When b; Then c"]),
        ({"steps": [{"title": "T", "description": "D", "done": True}]}, ["T: D"]),
        ({"steps": [{"id": 1}, "x"]}, ["x"]),
        ({"steps": [3, True, ["nested", "list"]]}, ["3", "nested\nlist"]),
        ({"verification": {"verdict": "pass", "run": ["a", "b"]}}, ["verdict: pass", "run: a", "run: b"]),
        ({"verification": {"command": "make", "expected": "green"}}, ["make; Expected: green"]),
        ({"acceptance_tests": ["a"], "tests": "b", "verify": ["c"], "criteria": ["d"]}, ["a", "b", "c", "d"]),
        ({"subTasks": [{"title": "T", "status": "done"}]}, ["T"]),
        ({"verification": []}, []),
        ({"verification": [{}]}, []),
    ],
)
def test_steps(one: One, fields: dict[str, Any], steps: list[str]) -> None:
    """Lists, objects and strings of every field for steps become steps, without duplicates."""
    assert one(**fields).steps == steps


def test_what_steps_lose_is_reported(read: Read) -> None:
    """Unknown fields of a step's object are reported."""
    backlog = read([{"name": "a", "steps": [{"text": "t", "done": True}, {"id": 1}, True]}])
    assert backlog.ignored == [
        "done of an entry of steps (1)",
        "id of an entry of steps (1)",
        "an entry of steps without text (1)",
    ]


@pytest.mark.parametrize(
    ("field", "value", "priority"),
    [
        ("priority", 7, 7),
        ("priority", -3, -3),
        ("priority", "12", 12),
        ("priority", 2.0, 2),
        ("priority", "critical", 1),
        ("priority", "High", 2),
        ("priority", "medium", 3),
        ("priority", "LOW", 4),
        ("Priority", "P0", 1),
        ("priority", "p3", 4),
        ("priority", 1.5, 1),
        ("priority", "soonish", 1),
        ("priority", True, 1),
        ("priority", None, 1),
    ],
)
def test_priority(one: One, field: str, value: Any, priority: int) -> None:
    """Whole numbers stay, words have their rank, and anything else gives way to the position."""
    assert one(**{field: value}).priority == priority


def test_without_priorities_the_order_of_the_file_counts(read: Read) -> None:
    """In a file without priorities the position is the priority; in a file with words the default is medium."""
    assert [feature.priority for feature in read([{"name": n} for n in "abc"]).features] == [1, 2, 3]
    worded = [{"name": "a", "priority": "low"}, {"name": "b"}, {"name": "c", "priority": "high"}]
    assert [feature.priority for feature in read(worded).features] == [4, 3, 2]


@pytest.mark.parametrize(
    ("listed", "references"),
    [
        ([{"id": 1}, {"id": "F-2"}, {"id": " x "}], ["1", "F-2", "x"]),
        ([{"task_id": 5, "name": "a"}], ["5"]),
    ],
)
def test_references(read: Read, listed: list[Any], references: list[str]) -> None:
    """A feature keeps its own id as a string."""
    assert [feature.reference for feature in read(with_names(listed)).features] == references


def test_without_an_id_category_and_name_identify_a_feature(read: Read) -> None:
    """A new place in the file, capitals and spaces do not change its reference; equal ones are numbered."""
    first, second, third = read([{"name": "a"}, {"name": "B  c", "id": ""}, {"name": "a"}]).features
    again, new, other = read([{"name": "b C"}, {"name": "new"}, {"name": "b c", "category": "x"}]).features
    assert first.reference.startswith("text-")
    assert third.reference == f"{first.reference}-2"
    assert again.reference == second.reference
    assert len({new.reference, other.reference, second.reference}) == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"dependencies": [1, "b"]},
        {"depends_on": ["1", "b"]},
        {"dependsOn": "1, b"},
        {"blockedBy": [{"id": 1}, {"id": "b"}]},
        {"dependencies": [1], "blocked-by": ["b", "1"]},
        {"depends_on_indices": [0, 1]},
    ],
)
def test_dependencies(read: Read, fields: dict[str, Any]) -> None:
    """Ids as numbers, strings or objects, in any field for dependencies, name features of the same file."""
    backlog = read([{"id": 1, "name": "a"}, {"id": "b", "name": "b"}, {"id": "c", "name": "c"} | fields])
    assert backlog.features[2].dependencies == ["1", "b"]


@pytest.mark.parametrize(
    ("listed", "field", "says"),
    [
        ([{"id": 1}, {"id": "1"}], "[1].id", "'1', which is already the id of [0]"),
        ([{"id": "x" * 256}], "[0].id", "256 characters and may have 255"),
        ([{"id": [1]}], "[0].id", "is not an id"),
        ([{}], "[0]", "is empty"),
        ([{"id": 1, "dependencies": [1]}], "[0].dependencies[0]", "'1' depends on itself"),
        (
            [{"id": 1, "dependencies": [9]}],
            "[0].dependencies[0]",
            "'1' depends on '9', which is neither the id nor the name",
        ),
        ([{"id": 1, "dependencies": [[1]]}], "[0].dependencies[0]", "is not an id"),
        ([{"id": 1, "dependencies": {"on": 1}}], "[0].dependencies", "is not an id"),
        (
            [{"id": 1, "depends_on_indices": [1]}],
            "[0].depends_on_indices[0]",
            "not a position in the list; positions are 0 to 0",
        ),
        (
            [{"id": 1, "dependsOn": [3]}, {"id": 2, "dependsOn": [1]}, {"id": 3, "dependsOn": [2]}],
            "[1].dependsOn[0]",
            "1 -> 3 -> 2 -> 1",
        ),
        ([{"name": "a", "priority": 10**10}], "[0].priority", "beyond 1,000,000,000"),
        ([{"name": "a", "priority": "9" * 5000}], "[0].priority", "beyond 1,000,000,000"),
    ],
)
def test_what_cannot_be_imported_is_refused_whole_with_its_path(
    refused: Refused, listed: list[Any], field: str, says: str
) -> None:
    """The refusal names the field by its path, says what is wrong, and nothing is imported."""
    refusal = refused(with_names(listed))
    assert refusal.details["field"] == field
    assert says in refusal.message


def test_a_feature_without_a_text_of_its_own_is_refused(refused: Refused) -> None:
    """An id or a state alone says nothing about the work."""
    refusal = refused([{"name": "a"}, {"id": "F-2", "status": "done"}])
    assert refusal.details["field"] == "[1]"
    assert "[1] has no text of its own" in refusal.message


@pytest.mark.parametrize(
    ("fields", "name", "kept", "report"),
    [
        ({"name": "x" * 256}, "name", "x" * 254 + "…", "the name is longer than 255 characters"),
        ({"category": "x" * 101}, "category", "x" * 99 + "…", "the category was cut from 101 to 100"),
        ({"description": "x" * 20_001}, "description", "x" * 19_999 + "…", "the description was cut from 20,001"),
        ({"steps": ["b", "x" * 2_001]}, "steps", ["b", "x" * 1_999 + "…"], "step 2 was cut from 2,001 to 2,000"),
        ({"steps": ["b"] * 101}, "steps", ["b"] * 100, "the steps after the first 100 are in the description"),
        ({"evidence": "x" * 25_000}, "evidence", "x" * 19_999 + "…", "the evidence was cut from 25,000 to 20,000"),
        ({"last_failure": "x" * 25_000}, "last_failure", "x" * 19_999 + "…", "the last failure was cut from 25,000"),
        ({"paths": ["/etc", "a"]}, "paths", ["a"], "the paths that are not valid"),
        ({"paths": ["a/../b"]}, "paths", [], "the paths that are not valid"),
        ({"paths": ["a" * 301]}, "paths", [], "the paths that are not valid"),
        ({"files": [f"f{n}" for n in range(21)]}, "paths", [f"f{n}" for n in range(20)], "or too many"),
    ],
)
def test_one_long_or_odd_record_refuses_nothing(
    read: Read, fields: dict[str, Any], name: str, kept: object, report: str
) -> None:
    """It is cut, or becomes text, and the report says so."""
    backlog = read([{"name": "F", "description": "D"} | fields])
    assert getattr(backlog.features[0], name) == kept
    (line,) = backlog.texts
    assert line.startswith("[0]: ")
    assert report in line


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": "n" * 256}, "n" * 256 + "\n\nD"),
        ({"steps": ["b"] * 101}, "D\n\nMore steps: - b"),
        ({"paths": ["/etc", "~"]}, "D\n\nFiles: /etc, ~"),
        ({"status": "done (2025-01-01)"}, "D\n\nStatus: done (2025-01-01)"),
        ({"blocked_by": "the Stripe key"}, "D\n\nBlocked by: the Stripe key"),
    ],
)
def test_what_has_no_place_is_in_the_description(one: One, fields: dict[str, Any], text: str) -> None:
    """Nothing of it is lost."""
    assert one(**{"description": "D"} | fields).description == text


def test_a_circle_names_its_features(refused: Refused) -> None:
    """A cycle behind a long chain is found without recursion, and only the cycle is reported."""
    chain = with_names([{"id": n, "dependencies": [n + 1]} for n in range(5_000)])
    refusal = refused([*chain, {"id": 5_000, "name": "last", "dependencies": [4_998]}])
    assert refusal.details["ids"] == ["4998", "4999", "5000"]
    assert refusal.details["field"] == "[5000].dependencies[0]"


def test_a_diamond_is_no_circle(read: Read) -> None:
    """Two paths to the same feature are accepted, in any order of the file."""
    listed = [{"id": "d", "dependencies": ["b", "c"]}, {"id": "b", "dependencies": ["a"]}]
    listed += [{"id": "c", "dependencies": ["a"]}, {"id": "a"}]
    assert len(read(with_names(listed)).features) == 4


def test_evidence_and_failures(one: One) -> None:
    """Strings stay strings; lists and objects become compact lines."""
    assert one(evidence="42 tests pass").evidence == "42 tests pass"
    assert one(evidence=["a", {"exit": 0}]).evidence == 'a\n{"exit": 0}'
    assert one(lastFailure="it hung").last_failure == "it hung"


def test_fields_without_a_place_are_reported_once_with_counts(read: Read) -> None:
    """Every unused field with a value is reported; empty fields are not."""
    listed = [
        {"name": "a", "colour": "n", "tags": []},
        {"name": "b", "colour": "m", "updated_at": 3, "owner": None},
    ]
    assert read(listed).ignored == ["colour (2)", "updated_at (1)"]


def test_a_report_of_many_fields_is_short(read: Read) -> None:
    """Ten thousand strange fields make a hundred lines and a count of the rest."""
    backlog = read([{"name": "a"} | {f"x{n}y": 1 for n in range(10_000)}])
    assert len(backlog.ignored) == 101
    assert backlog.ignored[-1] == "and 9900 more"


def test_two_spellings_of_a_field_are_reported(read: Read) -> None:
    """The first spelling of a field is used, and the second is reported."""
    backlog = read([{"name": "a", "dependsOn": [2], "depends_on": [3]}, {"name": "b"}, {"name": "c"}])
    assert backlog.features[0].dependencies == [backlog.features[1].reference]
    assert backlog.ignored == ["depends_on (a second spelling of the same field) (1)"]


def test_a_person_is_asked_as_before(one: One) -> None:
    """A request to a person keeps its prompt and fields, in the form that Dibs stores."""
    fields = [
        {
            "id": "db",
            "label": "Which one?",
            "type": "select",
            "options": [{"value": "pg", "label": "Postgres"}, "Lite"],
        },
        {"id": "why not", "label": "Why", "required": False, "placeholder": "x"},
        {"label": "Sure?", "type": "checkbox"},
    ]
    feature = one(needs_human_input=True, human_input_request={"prompt": "Choose\x07", "fields": fields})
    assert feature.status is Status.NEEDS_HUMAN
    assert feature.human_request == {
        "prompt": "Choose",
        "fields": [
            {
                "id": "db",
                "label": "Which one?",
                "type": "select",
                "required": True,
                "options": ["Postgres", "Lite"],
            },
            {"id": "why_not", "label": "Why", "type": "text", "required": False},
            {"id": "Sure_", "label": "Sure?", "type": "text", "required": True},
        ],
    }


def test_a_feature_that_waits_without_a_request_gets_one(one: One) -> None:
    """A feature that needs a person always has something to answer."""
    request = one(status="needs_human", name="Choose a host").human_request
    assert request is not None
    assert "Choose a host" in request["prompt"]
    assert [field["type"] for field in request["fields"]] == ["textarea"]


def test_an_unread_answer_is_kept_with_its_question(one: One) -> None:
    """The next holder of a pending feature gets an answer; a finished feature has none."""
    asked = {"human_input_request": {"prompt": "Which?", "fields": []}}
    answered = asked | {"human_input_response": {"fields": {"db": "pg", "sure": True}, "responded_at": "2026"}}
    assert one(**answered).human_answer == {"db": "pg", "sure": True}
    assert (one(**answered).human_request or {})["prompt"] == "Which?"
    assert one(passes=True, **answered).human_answer is None
    assert one(**asked).human_request is None


def test_a_long_description_at_the_limit_is_kept_whole(one: One) -> None:
    """A description of the greatest length is not cut."""
    assert len(one(description="x" * DESCRIPTION_LENGTH).description) == DESCRIPTION_LENGTH


def test_paths_are_the_files_that_a_feature_changes(one: One) -> None:
    """A list of globs, or a single glob, is imported in the form that Dibs stores."""
    assert one(paths=["./src//a", "b/*.py", "src/a"]).paths == ["src/a", "b/*.py"]
    assert one(paths="docs/").paths == ["docs"]
    assert one().paths == []


def test_notes_become_notes(one: One) -> None:
    """Notes, context and implementation notes of any shape are notes, each on its own."""
    feature = one(notes="n", context={"why": "c"}, implementationNotes=["i", "j"])
    assert feature.notes == ["n", '{"why": "c"}', "i", "j"]


def test_files_are_paths(one: One) -> None:
    """Files as strings or objects become the files that a feature changes."""
    assert one(target_files=["a", {"path": "b", "action": "create"}], files_to_modify="c").paths == ["a", "b", "c"]


@pytest.mark.parametrize("nothing", ["none", "None", "N/A", "-", "[]", ["none"], [None], "nil", ""])
def test_no_dependency_in_words(one: One, nothing: object) -> None:
    """Words for nothing are no ids."""
    assert one(dependencies=nothing).dependencies == []


def test_a_dependency_by_name(read: Read, refused: Refused) -> None:
    """A name that one feature has stands for its id, also with a comma; a name of two is unknown."""
    listed = [{"id": 1, "name": "Sign in, by e-mail"}, {"id": 2, "name": "b", "dependencies": "sign IN, by e-mail"}]
    assert read(listed).features[1].dependencies == ["1"]
    twice = [
        *listed[:1],
        {"id": 3, "name": "Sign in, by e-mail"},
        {"name": "c", "dependencies": ["Sign in, by e-mail"]},
    ]
    assert refused(twice).details["field"] == "[2].dependencies[0]"


@pytest.mark.parametrize(
    ("status", "blocked_by", "becomes", "reason"),
    [
        ("blocked", "waiting for the Stripe key", Status.STUCK, "waiting for the Stripe key"),
        ("blocked", "a key, and a person", Status.STUCK, "a key, and a person"),
        ("blocked", ["the key", "1"], Status.PENDING, "the key"),
        ("blocked: no key", None, Status.STUCK, "no key"),
        ("blocked", "1", Status.PENDING, None),
    ],
)
def test_the_reason_of_a_blocked_feature(
    read: Read, status: str, blocked_by: object, becomes: Status, reason: str | None
) -> None:
    """Words in the place of an id are the reason why it is stuck."""
    listed = [{"id": 1, "name": "a"}, {"id": 2, "name": "b", "status": status, "blocked_by": blocked_by}]
    feature = read(listed).features[1]
    assert (feature.status, feature.last_failure) == (becomes, reason)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"status": "implemented"}, Status.PASSING),
        ({"status": "done (2025-01-01)"}, Status.PASSING),
        ({"status": "passing (verified)"}, Status.PASSING),
        ({"status": "done - after review"}, Status.PASSING),
        ({"status": "✅"}, Status.PASSING),
        ({"status": "[x]"}, Status.PASSING),
        ({"status": "已完成"}, Status.PASSING),
        ({"status": "hecho"}, Status.PASSING),
        ({"status": "Terminé"}, Status.PASSING),
        ({"status": "[ ]", "passes": True}, Status.PASSING),
        ({"status": "won't do"}, Status.ARCHIVED),
        ({"status": "tombstone"}, Status.ARCHIVED),
        ({"status": "waived"}, Status.ARCHIVED),
        ({"status": "parked"}, Status.PENDING),
        ({"status": "in progress (80%)"}, Status.PENDING),
        ({"status": "⛔"}, Status.STUCK),
        ({"implemented": True}, Status.PASSING),
        ({"verified": True}, Status.PASSING),
        ({"implemented": True, "verified": False}, Status.PENDING),
        ({"blocked": True}, Status.STUCK),
        ({"status": "undone (done)"}, Status.PENDING),
    ],
)
def test_what_words_and_flags_mean(one: One, fields: dict[str, Any], status: Status) -> None:
    """Words of several languages, words with more behind them, symbols and flags mean what they say."""
    assert one(**fields).status is status


@pytest.mark.parametrize(
    ("listed", "priorities"),
    [
        ([{"milestone": "M1"}, {"milestone": "M2"}], [1, 2]),
        ([{"milestone": "M10"}, {"milestone": "M2"}], [11, 2]),
        ([{"week": 2, "priority": 1}, {"week": 1, "priority": 2}], [11, 2]),
        ([{"phase": "build", "priority": 2}, {"phase": "ship", "priority": 1}, {"priority": 1}], [2, 11, 21]),
    ],
)
def test_phases_follow_one_after_the_other(read: Read, listed: list[Any], priorities: list[int]) -> None:
    """A milestone, week, wave or phase orders the queue, and a priority only within it."""
    assert [feature.priority for feature in read(with_names(listed)).features] == priorities


def test_priorities_that_most_dependencies_contradict(read: Read, tmp_path: Path) -> None:
    """The report warns of them; with `highest_first` a larger number is more urgent."""
    chain = [{"id": n, "priority": 9 - n, "dependencies": [n - 1] if n else []} for n in range(5)]
    backlog = read(with_names(chain))
    (warning,) = backlog.warnings
    assert warning.startswith("4 of 4 dependencies have a larger priority than the feature that needs them")
    assert warning.endswith("import with --highest-first.")
    reversed_order = read_backlog(tmp_path / "backlog.json", options=ReadOptions(highest_first=True))
    assert [feature.priority for feature in reversed_order.features] == [-9, -8, -7, -6, -5]
    assert reversed_order.warnings == []


def test_a_word_that_the_user_explains(read: Read, tmp_path: Path) -> None:
    """`statuses` gives an unknown word a meaning."""
    read([{"name": "a", "status": "Fully baked"}])
    options = ReadOptions(statuses={"fully_baked": Status.PASSING})
    backlog = read_backlog(tmp_path / "backlog.json", options=options)
    assert backlog.features[0].status is Status.PASSING
    assert backlog.unknown == []


def test_unknown_dependencies_may_be_dropped(read: Read, tmp_path: Path, refused: Refused) -> None:
    """Without the user's word they refuse the file; with it they are reported."""
    listed = [{"id": 1, "name": "a", "dependencies": ["9"]}]
    assert "--drop-unknown" in refused(listed).message
    backlog = read_backlog(tmp_path / "backlog.json", options=ReadOptions(drop_unknown=True))
    assert backlog.features[0].dependencies == []
    assert backlog.ignored == ["the dependency of 1 on 9, which does not exist (1)"]
