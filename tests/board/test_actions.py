"""What a person does on the page: each form is one operation, recorded under the person's name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from board.forms import values_of
from board.people import FRAGMENT, Person, alerts
from dibs.database import Database
from dibs.platform.users import user_name
from dibs.queries.get import get_by_id
from dibs.queries.history import get_history
from dibs.verbs import ask_person, ask_user
from dibs.verbs.project_settings import change_setting
from dibs.verbs.release import release
from dibs_schema.inputs import HumanField, Question
from dibs_schema.status import Status
from verbs.stage import add, named, place, take, token_of


def status_of(database: Database, feature: int) -> str:
    """Return a feature's status."""
    return database.read_now(lambda tx: get_by_id(tx, feature)).status


def last_author(database: Database, feature: int) -> str:
    """Return who made the last change of a feature."""
    return database.read_now(lambda tx: get_history(tx, feature)).events[0].agent


def test_a_claim_is_freed(person: Person, database: Database) -> None:
    """A person frees a claim; the journal names the person, and the page without a script comes back."""
    claimed = place(database, Status.IN_PROGRESS).id
    done = person.act("free", feature=claimed)
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert (status_of(database, claimed), last_author(database, claimed)) == ("pending", user_name())


def test_a_claim_that_changed_hands_is_not_freed(person: Person, database: Database) -> None:
    """The forms of Now and of the feature free the claim that they show, and not the next one of the feature."""
    on = place(database, Status.IN_PROGRESS)
    shown = [values_of(person.get(page).text, f"free-{on.id}") for page in ("/", f"/feature/{on.id}")]
    database.write_now(lambda tx: release(tx, "ada", on.id, on.token))
    take(database, named("bo"), on.id)
    for form in shown:
        refused = person.act("free", **form)
        (words,) = alerts(refused.text)
        assert (refused.status_code, "bo has held it" in words, " open>" in refused.text) == (422, True, True)
    assert status_of(database, on.id) == "in_progress"
    person.act("free", **values_of(person.get("/").text, f"free-{on.id}"))
    assert status_of(database, on.id) == "pending"


def test_a_stuck_feature_is_tried_again(person: Person, database: Database) -> None:
    """The script receives the changed elements, and no whole page."""
    stuck = place(database, Status.STUCK).id
    done = person.act("retry", FRAGMENT, feature=stuck)
    assert done.status_code == 200
    assert (done.text.startswith('<div id="summary"'), "<html" in done.text) == (True, False)
    assert f'id="stuck-{stuck}"' not in done.text
    assert status_of(database, stuck) == "pending"


def test_a_pass_is_confirmed(person: Person, database: Database) -> None:
    """A person approves in another agent's place."""
    database.write_now(lambda tx: change_setting(tx, "planner", "verifier", "other"))
    passed = place(database, Status.PASSING).id
    assert f'id="unconfirmed-{passed}"' in person.get("/").text
    assert person.act("approve", feature=passed).status_code == 303
    assert database.read_now(lambda tx: get_by_id(tx, passed)).unconfirmed_since is None


def test_a_request_is_answered_by_its_form(person: Person, database: Database) -> None:
    """Each kind of field has an input, and each answer reaches the next agent with its own type."""
    (feature,) = add(database)
    token = token_of(database, feature)
    kinds: list[dict[str, Any]] = [
        {"id": "name", "label": "Name"},
        {"id": "long", "label": "Long", "type": "textarea", "required": False},
        {"id": "pick", "label": "Pick", "type": "select", "options": ["x", "y"]},
        {"id": "sure", "label": "Sure?", "type": "boolean"},
    ]
    request = ask_person.new_request("Which?", [HumanField.model_validate(one) for one in kinds])
    database.write_now(lambda tx: ask_person.request_human_input(tx, "ada", feature, token, request))
    page = person.get("/").text
    for name in ("text:name", "text:long", "choice:pick", "yes:sure"):
        assert f'name="{name}"' in page
    answers = {"text:name": "ann", "text:long": "", "choice:pick": "y", "yes:sure": "no"}
    assert person.act("answer", feature=feature, **answers).status_code == 303
    answer = database.read_now(lambda tx: get_by_id(tx, feature)).human_answer
    assert answer is not None
    assert (answer.answers, answer.answered_by) == ({"name": "ann", "pick": "y", "sure": False}, user_name())


def _ask(database: Database) -> int:
    questions = [
        {"question": "Colour?", "header": "Colour", "options": ["red", {"label": "blue", "description": "cold"}]},
        {"question": "Sizes?", "header": "Sizes", "options": ["S", "M"], "multiSelect": True},
    ]
    asked = [Question.model_validate(one) for one in questions]
    return database.write_now(lambda tx: ask_user.ask_user(tx, "ada", asked, [])).question_id


def test_a_question_is_answered_by_choices_or_in_own_words(person: Person, database: Database) -> None:
    """One choice, several, and an answer beside them."""
    number = _ask(database)
    given = {"choice:Colour": "red", "other:Colour": "green", "each:Sizes": ["S", "M"], "other:Sizes": "XL"}
    assert person.act("answer", question=number, **given).status_code == 303
    asked = database.read_now(lambda tx: ask_user.read_question(tx, number))
    assert asked.answers == {"Colour": "green", "Sizes": ["S", "M", "XL"]}


def test_a_question_is_withdrawn(person: Person, database: Database) -> None:
    """Nobody answers it, and it is no longer shown."""
    number = _ask(database)
    assert person.act("withdraw", question=number).status_code == 303
    assert database.read_now(lambda tx: ask_user.read_question(tx, number)).state == "cancelled"
    assert f'id="question-{number}"' not in person.get("/").text


def test_a_refused_answer_says_why_and_keeps_what_was_typed(person: Person, database: Database) -> None:
    """The form shows the operation's own words beside itself, with the values that were sent."""
    number = _ask(database)
    given = {"question": number, "other:Colour": "<b>green", "alert": f"question-{number}-alert"}
    refused = person.act("answer", **given)
    assert (refused.status_code, alerts(refused.text)) == (422, ["answers.Sizes: an answer is required."])
    assert 'value="&lt;b&gt;green"' in refused.text
    by_script = person.act("answer", FRAGMENT, **given)
    assert (by_script.status_code, alerts(by_script.text)) == (422, ["answers.Sizes: an answer is required."])
    assert f'id="question-{number}-alert"' in by_script.text


def test_a_refusal_is_shown_where_its_form_has_gone(person: Person, database: Database) -> None:
    """What the form was about may have changed meanwhile: then the words stand at the top of the page."""
    (free,) = add(database)
    refused = person.act("retry", feature=free, alert=f"retry-{free}-alert")
    assert refused.status_code == 422
    assert len(alerts(refused.text)) == 1


@pytest.mark.parametrize(
    "back", ["//evil.example", "https://evil.example/", "/nowhere", "javascript:alert(1)", "\\evil"]
)
def test_a_form_leads_to_pages_of_the_board_only(person: Person, database: Database, back: str) -> None:
    """Where a form leads back to is checked before it acts."""
    stuck = place(database, Status.STUCK).id
    refused = person.act("retry", feature=stuck, back=back)
    assert (refused.status_code, "location" in refused.headers) == (422, False)
    assert status_of(database, stuck) == "stuck"


def test_a_feature_is_added(person: Person, database: Database) -> None:
    """Steps and paths are lines, dependencies are numbers."""
    first, second = add(database, 2)
    given = {"name": "Search", "category": "shop", "description": "Finds things.", "steps": "look\n\nfind\n"}
    done = person.act("add", back="/add", dependencies=f"{first}, {second}", paths="src/**/*.py", **given)
    assert (done.status_code, done.headers["location"]) == (303, "/add")
    assert ">Search<" in done.text or ">Search<" in person.get("/add").text
    found = database.read_now(lambda tx: get_by_id(tx, second + 1))
    assert (found.name, found.steps, found.paths) == ("Search", ["look", "find"], ["src/**/*.py"])
    assert [one.id for one in found.dependencies] == [first, second]


def test_a_list_is_shown_before_it_is_imported(person: Person, database: Database) -> None:
    """The preview says what the import would add, and changes nothing; the second preview finds it there."""
    entries = [
        {"id": f"page-{number}", "name": f"Entry {number}", "category": "c", "description": "d"} for number in (1, 2)
    ]
    text = json.dumps([{**one, "steps": ["s"]} for one in entries])
    (last,) = add(database)
    preview = person.act("preview", back="/add", list=text)
    assert (preview.status_code, "2 new features" in preview.text, "Entry 2" in preview.text) == (200, True, True)
    assert database.read_now(lambda tx: get_by_id(tx, last)).id == add(database)[0] - 1
    assert person.act("import", back="/add", list=text).status_code == 303
    assert [last_author(database, last + 1 + place) for place in (1, 2)] == [user_name()] * 2
    again = person.act("preview", FRAGMENT, back="/add", list=text)
    assert "0 new features; 2 exist already" in again.text
    assert again.text.lstrip().startswith('<div id="preview"')


def test_a_list_that_cannot_be_read_is_refused(person: Person) -> None:
    """The refusal names the place in the text, and the text is still there."""
    refused = person.act("preview", back="/add", list="[{", alert="list-alert")
    assert refused.status_code == 422
    assert ["not valid JSON at line 1" in words for words in alerts(refused.text)] == [True]
    assert ">[{</textarea>" in refused.text
