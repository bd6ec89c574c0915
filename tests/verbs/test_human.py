"""A feature can wait for a person, whose answer must fit what was asked."""

from __future__ import annotations

from typing import Any

import pytest

from dibs.database import Database
from dibs.queries import get
from dibs.queries.open_questions import open_requests
from dibs.transfer.importer import import_features
from dibs.verbs import ask_person
from dibs_schema.inputs import HumanField
from dibs_schema.operations import BY_TOOL, read_arguments
from dibs_schema.refusals import ClaimLost, InvalidInput, NotFound, NotWaitingForHuman
from dibs_schema.status import Kind, Status
from verbs.stage import NEVER_ISSUED, REPLY, REQUEST, add, imported, journal, named, place, refused, row, take

FIELDS = [
    HumanField(id="name", label="Name it", type="text"),
    HumanField(id="why", label="Why?", type="textarea", required=False),
    HumanField(id="colour", label="Colour", type="select", options=["red", "blue"]),
    HumanField(id="sure", label="Sure?", type="boolean"),
]
GOOD = {"name": "Dibs", "colour": "blue", "sure": False}

MISFITS: list[tuple[str, dict[str, Any], str]] = [
    ("a required field is missing", {"name": "Dibs", "colour": "blue"}, "answers.sure"),
    ("a required text is empty", {**GOOD, "name": ""}, "answers.name"),
    ("a choice is none of the options", {**GOOD, "colour": "green"}, "answers.colour"),
    ("a choice is a truth", {**GOOD, "colour": True}, "answers.colour"),
    ("a truth is a text", {**GOOD, "sure": "yes"}, "answers.sure"),
    ("a text is a truth", {**GOOD, "name": True}, "answers.name"),
    ("a text is a list", {**GOOD, "why": ["a", "b"]}, "answers.why"),
    ("a text is too long", {**GOOD, "why": "x" * 5_001}, "answers.why"),
    ("a field was not asked for", {**GOOD, "shape": "round"}, "answers.shape"),
]


def _ask(database: Database, fields: list[HumanField] = FIELDS) -> int:
    on = place(database, Status.IN_PROGRESS)
    request = ask_person.new_request("What shall it be?", fields)
    database.write_now(lambda tx: ask_person.request_human_input(tx, "ada", on.id, on.token, request))
    return on.id


@pytest.mark.parametrize(("answers", "field"), [case[1:] for case in MISFITS], ids=[case[0] for case in MISFITS])
def test_an_answer_that_does_not_fit_is_refused(database: Database, answers: dict[str, Any], field: str) -> None:
    """An answer is checked against the asked fields, and the one that does not fit is named."""
    feature = _ask(database)
    refusal = refused(database, InvalidInput, lambda tx: ask_person.answer_feature(tx, "user", feature, answers))
    assert refusal.details["field"] == field
    assert refusal.message.startswith(f"{field}: ")


@pytest.mark.parametrize("extra", [{}, {"why": "because"}, {"why": ""}])
def test_an_answer_that_fits_comes_with_the_next_claim(database: Database, extra: dict[str, Any]) -> None:
    """The next claim brings the answer, its author and the question, without nulls."""
    feature = _ask(database)
    database.write_now(lambda tx: ask_person.answer_feature(tx, "user", feature, {**GOOD, **extra}))
    told = take(database, named("grace"), feature).feature.human_answer
    assert told is not None
    said = {name: value for name, value in told.answers.items() if value != ""}
    assert said == GOOD | {name: value for name, value in extra.items() if value}
    assert (told.answered_by, told.prompt) == ("user", "What shall it be?")


def test_asking_puts_the_feature_aside(database: Database) -> None:
    """A request ends the claim and stays open, and its prompt is in the events."""
    feature = _ask(database)
    kept = row(database, feature)
    assert (kept["status"], kept["claim_token"]) == ("needs_human", None)
    assert journal(database, feature)[-1]["detail"] == {"prompt": "What shall it be?"}
    (open_one,) = database.read_now(open_requests)
    assert (open_one.feature_id, open_one.prompt) == (feature, "What shall it be?")
    assert open_one.asked_by == f"ada-{feature}"
    assert [field["id"] for field in open_one.fields] == ["name", "why", "colour", "sure"]


def test_only_the_latest_request_is_open(database: Database) -> None:
    """A feature with two requests is listed once, with its last request."""
    feature = _ask(database)
    database.write_now(lambda tx: ask_person.answer_feature(tx, "user", feature, GOOD))
    token = take(database, named("grace"), feature).claim.token
    database.write_now(lambda tx: ask_person.request_human_input(tx, "grace", feature, token, REQUEST))
    (open_one,) = database.read_now(open_requests)
    assert (open_one.asked_by, open_one.prompt) == ("grace", REQUEST["prompt"])
    shown = database.read_now(lambda tx: get.get_by_id(tx, feature))
    assert shown.human_request is not None
    assert shown.human_request["prompt"] == REQUEST["prompt"]
    assert shown.human_answer is None


def test_cancelling_withdraws_the_request(database: Database) -> None:
    """A cancelled request sends the feature back to the queue with neither request nor answer."""
    feature = _ask(database)
    database.write_now(lambda tx: ask_person.cancel_request(tx, "user", feature))
    kept = row(database, feature)
    assert (kept["status"], kept["human_request"], kept["human_answer"]) == ("pending", None, None)
    assert database.read_now(open_requests) == []


def test_an_answer_within_the_call_keeps_the_claim(database: Database) -> None:
    """An answer during the asking call is stored and returned, and the claim stays."""
    on = place(database, Status.IN_PROGRESS)
    answer = database.write_now(lambda tx: ask_person.answer_claimed(tx, "user", on.id, on.token or "", REQUEST, REPLY))
    assert (answer.status, answer.answer) == ("in_progress", REPLY)
    kept = row(database, on.id)
    assert (kept["claim_token"], kept["human_answer"]["answers"]) == (on.token, REPLY)
    assert journal(database, on.id)[-1]["kind"] == Kind.ANSWER


def test_an_answer_within_the_call_needs_the_claim(database: Database) -> None:
    """If the claim was lost before the answer, nothing is stored."""
    on = place(database, Status.IN_PROGRESS)
    refused(
        database,
        ClaimLost,
        lambda tx: ask_person.answer_claimed(tx, "user", on.id, NEVER_ISSUED, REQUEST, REPLY),
    )
    refused(database, ClaimLost, lambda tx: ask_person.check_claim(tx, on.id, NEVER_ISSUED))


def test_there_must_be_something_to_answer(database: Database) -> None:
    """Answering or cancelling without an open request, or without a feature, is refused."""
    (feature,) = add(database)
    for verb in (
        lambda tx: ask_person.answer_feature(tx, "user", feature, GOOD),
        lambda tx: ask_person.cancel_request(tx, "user", feature),
    ):
        assert refused(database, NotWaitingForHuman, verb).details["status"] == "pending"
    refused(database, NotFound, lambda tx: ask_person.cancel_request(tx, "user", 999))


def test_the_ids_of_fields_differ() -> None:
    """Two fields of one id could not be told apart in the answer."""
    with pytest.raises(InvalidInput) as caught:
        ask_person.new_request("Which?", [FIELDS[0], FIELDS[0]])
    assert caught.value.details["field"] == "fields"


BAD_FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("a select without options", {"type": "select"}),
    ("a text with options", {"type": "text", "options": ["a"]}),
    ("an unknown type", {"type": "date"}),
    ("an id with a blank", {"id": "a b"}),
    ("an empty label", {"label": ""}),
    ("an unknown key", {"default": "x"}),
]


@pytest.mark.parametrize("changes", [case[1] for case in BAD_FIELDS], ids=[case[0] for case in BAD_FIELDS])
def test_a_malformed_field_is_refused(changes: dict[str, Any]) -> None:
    """A field has an id of word characters, a label, a known type, and options exactly if it is a select."""
    with pytest.raises(ValueError, match="validation error"):
        HumanField.model_validate({"id": "one", "label": "One", **changes})


def test_an_imported_request_is_listed_and_answered(database: Database) -> None:
    """A request that came with an import has no event of its own, and is open like any other."""
    database.write_now(lambda tx: import_features(tx, [imported("F1", status=Status.NEEDS_HUMAN)]))
    (open_one,) = database.read_now(open_requests)
    assert (open_one.feature_id, open_one.asked_by, open_one.prompt) == (1, "import", REQUEST["prompt"])
    database.write_now(lambda tx: ask_person.answer_feature(tx, "user", 1, {"colour": "red"}))
    assert database.read_now(open_requests) == []


def test_an_option_with_a_value_and_a_label_is_taken_by_its_label() -> None:
    """Forms of other tools send options as objects, and hints that mean nothing here."""
    options = [{"value": "r", "label": "Red"}, {"value": "blue"}, "Green"]
    field = {"id": "colour", "label": "Which?", "type": "select", "options": options, "placeholder": "choose"}
    ignored: list[str] = []
    asked = {"feature_id": 1, "prompt": "Which?", "fields": [field]}
    read = read_arguments(BY_TOOL["feature_request_human_input"], asked, ignored)
    assert (read.fields[0].options, ignored) == (["Red", "blue", "Green"], ["placeholder"])
