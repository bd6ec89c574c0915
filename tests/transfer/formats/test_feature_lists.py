"""Fields and words of feature lists become a feature's fields, or are reported, or are refused with their path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dibs.transfer.formats import ImportedFeature
from dibs.transfer.formats.backlog import DESCRIPTION_LENGTH, NAME_LENGTH
from dibs_schema.status import Status
from transfer.formats.conftest import Read, Refused

One = Callable[..., ImportedFeature]


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
    assert backlog.ignored[0] == "status 'sideways', an unknown word: other fields decide, else it is pending (2)"
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
        ({"id": "LOGIN-1"}, "LOGIN-1", "LOGIN-1"),
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
        ([{"name": "a"}, {"name": "b"}], ["1", "2"]),
        ([{"id": 2, "name": "a"}, {"name": "b"}, {"id": "", "name": "c"}], ["2", "#2", "3"]),
        ([{"task_id": 5, "name": "a"}], ["5"]),
    ],
)
def test_references(read: Read, listed: list[Any], references: list[str]) -> None:
    """A feature keeps its own id as a string, or is identified by its position."""
    assert [feature.reference for feature in read(listed).features] == references


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
            "'1' depends on '9', which is not the id of a feature",
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
        ([{"name": "x" * 256}], "[0].name", "256 characters and may have 255"),
        ([{"name": "a", "category": "x" * 101}], "[0].category", "101 characters and may have 100"),
        (
            [{"name": "a", "description": "x" * 20_001}],
            "[0].description",
            "20,001 characters and may have 20,000",
        ),
        ([{"name": "a", "details": "x" * 19_999, "description": "xy"}], "[0].details", "20,003 characters"),
        ([{"name": "a", "steps": ["b", "x" * 2_001]}], "[0].steps[1]", "2,001 characters and may have 2,000"),
        ([{"name": "a", "steps": ["b"] * 101}], "[0].steps", "101 steps"),
        ([{"name": "a", "priority": 10**10}], "[0].priority", "beyond 1,000,000,000"),
        ([{"name": "a", "priority": "9" * 5000}], "[0].priority", "beyond 1,000,000,000"),
        ([{"name": "a", "evidence": "x" * 20_001}], "[0].evidence", "20,001"),
    ],
)
def test_what_cannot_be_imported_is_refused_whole_with_its_path(
    refused: Refused, listed: list[Any], field: str, says: str
) -> None:
    """The refusal names the field by its path, says what is wrong, and nothing is imported."""
    refusal = refused(listed)
    assert refusal.details["field"] == field
    assert says in refusal.message


def test_a_circle_names_its_features(refused: Refused) -> None:
    """A cycle behind a long chain is found without recursion, and only the cycle is reported."""
    chain = [{"id": n, "dependencies": [n + 1]} for n in range(5_000)]
    refusal = refused([*chain, {"id": 5_000, "dependencies": [4_998]}])
    assert refusal.details["ids"] == ["4998", "4999", "5000"]
    assert refusal.details["field"] == "[5000].dependencies[0]"


def test_a_diamond_is_no_circle(read: Read) -> None:
    """Two paths to the same feature are accepted, in any order of the file."""
    listed = [{"id": "d", "dependencies": ["b", "c"]}, {"id": "b", "dependencies": ["a"]}]
    listed += [{"id": "c", "dependencies": ["a"]}, {"id": "a"}]
    assert len(read(listed).features) == 4


def test_evidence_and_failures(one: One) -> None:
    """Strings stay strings; lists and objects become compact lines."""
    assert one(evidence="42 tests pass").evidence == "42 tests pass"
    assert one(evidence=["a", {"exit": 0}]).evidence == 'a\n{"exit": 0}'
    assert one(verification={"verdict": "pass"}).evidence == '{"verdict": "pass"}'
    assert one(lastFailure="it hung").last_failure == "it hung"


def test_fields_without_a_place_are_reported_once_with_counts(read: Read) -> None:
    """Every unused field with a value is reported; empty fields are not."""
    listed = [
        {"name": "a", "notes": "n", "tags": []},
        {"name": "b", "notes": "m", "updated_at": 3, "owner": None},
    ]
    assert read(listed).ignored == ["notes (2)", "updated_at (1)"]


def test_a_report_of_many_fields_is_short(read: Read) -> None:
    """Ten thousand strange fields make a hundred lines and a count of the rest."""
    backlog = read([{"name": "a"} | {f"x{n}y": 1 for n in range(10_000)}])
    assert len(backlog.ignored) == 101
    assert backlog.ignored[-1] == "and 9900 more"


def test_two_spellings_of_a_field_are_reported(read: Read) -> None:
    """The first spelling of a field is used, and the second is reported."""
    backlog = read([{"name": "a", "dependsOn": [2], "depends_on": [3]}, {"name": "b"}, {"name": "c"}])
    assert backlog.features[0].dependencies == ["2"]
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


@pytest.mark.parametrize("paths", [["/etc"], ["a/../b"], ["x"] * 21, ["a" * 301]])
def test_paths_that_do_not_fit_are_refused(refused: Refused, paths: list[str]) -> None:
    """An invalid path is named, and nothing is imported."""
    assert refused([{"name": "F", "paths": paths}]).details["field"] == "[0].paths"
