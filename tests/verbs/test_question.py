"""Questions to the user stay open until they are answered or withdrawn."""

from __future__ import annotations

from typing import Any

import pytest

from dibs.database import Database
from dibs.queries.open_questions import count_open, open_questions
from dibs.verbs import ask_user
from dibs_schema.inputs import Question
from dibs_schema.refusals import InvalidInput, NotFound, NotWaitingForHuman
from verbs.stage import journal, refused

TWO = [
    Question.model_validate({"question": "Which colour?", "header": "Colour", "options": ["red", "blue"]}),
    Question.model_validate(
        {
            "question": "Which sizes?",
            "header": "Sizes",
            "options": ["S", {"label": "L", "description": "large"}],
            "multiSelect": True,
        }
    ),
]


def _ask(database: Database) -> int:
    return database.write_now(lambda tx: ask_user.ask_user(tx, "ada", TWO)).question_id


def test_questions_are_numbered_and_open(database: Database) -> None:
    """Each call gets the next number, and stays open under the name of its asker."""
    assert [_ask(database), _ask(database)] == [1, 2]
    assert database.read_now(lambda tx: ask_user.read_question(tx, 1)).state == "open"
    assert database.read_now(count_open) == 2
    listed = database.read_now(open_questions)
    assert [(one.question_id, one.asked_by) for one in listed] == [(1, "ada"), (2, "ada")]
    assert [one["header"] for one in listed[0].questions] == ["Colour", "Sizes"]


FITTING: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("by header", {"Colour": "red", "Sizes": ["S", "L"]}, {"Colour": "red", "Sizes": ["S", "L"]}),
    ("by position", {"1": "blue", "2": "S"}, {"Colour": "blue", "Sizes": "S"}),
    (
        "in words of one's own",
        {"Colour": "something warm", "Sizes": "any"},
        {"Colour": "something warm", "Sizes": "any"},
    ),
]


@pytest.mark.parametrize(("given", "kept"), [case[1:] for case in FITTING], ids=[case[0] for case in FITTING])
def test_an_answer_is_read_by_header(database: Database, given: dict[str, Any], kept: dict[str, Any]) -> None:
    """An answer names its question by header or position, and is one label, several labels, or free text."""
    number = _ask(database)
    database.write_now(lambda tx: ask_user.answer_question(tx, "user", number, given))
    read = database.read_now(lambda tx: ask_user.read_question(tx, number))
    assert (read.state, read.answers, read.answered_by) == ("answered", kept, "user")
    assert database.read_now(open_questions) == []


MISFITS: list[tuple[str, dict[str, Any], str]] = [
    ("a question is left out", {"Colour": "red"}, "answers.Sizes"),
    ("nothing of that name was asked", {"Colour": "red", "Sizes": "S", "Shape": "round"}, "answers.Shape"),
    ("several where one was asked", {"Colour": ["red", "blue"], "Sizes": "S"}, "answers.Colour"),
    ("a truth", {"Colour": True, "Sizes": "S"}, "answers.Colour"),
]


@pytest.mark.parametrize(("given", "field"), [case[1:] for case in MISFITS], ids=[case[0] for case in MISFITS])
def test_an_answer_that_does_not_fit_is_refused(database: Database, given: dict[str, Any], field: str) -> None:
    """The answer that does not fit is named, and the question stays open."""
    number = _ask(database)
    refusal = refused(database, InvalidInput, lambda tx: ask_user.answer_question(tx, "user", number, given))
    assert refusal.details["field"] == field


def test_a_question_is_closed_once(database: Database) -> None:
    """A closed question can be neither answered nor withdrawn again."""
    good = FITTING[0][1]
    answered, cancelled = _ask(database), _ask(database)
    database.write_now(lambda tx: ask_user.answer_question(tx, "user", answered, good))
    database.write_now(lambda tx: ask_user.cancel_question(tx, "user", cancelled))
    assert database.read_now(lambda tx: ask_user.read_question(tx, cancelled)).state == "cancelled"
    refused(database, NotWaitingForHuman, lambda tx: ask_user.answer_question(tx, "user", answered, good))
    refused(database, NotWaitingForHuman, lambda tx: ask_user.cancel_question(tx, "user", answered))
    refused(database, NotWaitingForHuman, lambda tx: ask_user.answer_question(tx, "user", cancelled, good))


def test_an_unknown_question_is_not_found(database: Database) -> None:
    """An unknown number is not found by any call."""
    with pytest.raises(NotFound):
        database.read_now(lambda tx: ask_user.read_question(tx, 7))
    refused(database, NotFound, lambda tx: ask_user.cancel_question(tx, "user", 7))


def test_questions_are_in_the_journal_and_belong_to_no_feature(database: Database) -> None:
    """Asking and answering leave one event each, without a feature."""
    number = _ask(database)
    database.write_now(lambda tx: ask_user.answer_question(tx, "user", number, FITTING[0][1]))
    assert [(event["kind"], event["feature_id"]) for event in journal(database)] == [
        ("ask", None),
        ("answer", None),
    ]


def test_two_questions_of_one_call_have_two_headers(database: Database) -> None:
    """Headers name the answers, so a call that uses a header twice is refused; otherwise an answer would be lost."""
    twice = [TWO[0], TWO[0].model_copy(update={"question": "And the other colour?"})]
    refused(database, InvalidInput, lambda tx: ask_user.ask_user(tx, "ada", twice))
