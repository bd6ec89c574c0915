"""A person at the client can answer within the call; otherwise the request stays open."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import mcp
import pytest
from mcp.types import ElicitRequestFormParams, ElicitResult, ErrorData

from dibs.client import Client, server_command
from dibs.database import Database
from dibs.verbs import outcome
from dibs.verbs.lease import reap
from dibs.verbs.release import release
from dibs_schema.refusals import ClaimLost, InvalidInput, NotWaitingForHuman
from dibs_schema.status import Kind
from tools.conftest import both_channels
from verbs.stage import add, board, expire, journal, row, take, token_of
from verbs.stage import named as agent

pytestmark = pytest.mark.anyio

FIELDS = [
    {"id": "colour", "label": "Which colour?", "type": "select", "options": ["red", "blue"]},
    {"id": "sure", "label": "Sure?", "type": "boolean", "required": False},
    {"id": "why", "label": "Why?", "type": "textarea", "required": False},
]
PROMPT = "Please decide."
QUESTIONS = [
    {
        "question": "Which colour?",
        "header": "Colour",
        "options": [{"label": "red", "description": "warm"}, "blue"],
    },
    {"question": "Which sizes?", "header": "Sizes", "options": ["S", "M", "L"], "multiSelect": True},
]

Reply = Callable[[ElicitRequestFormParams], Awaitable[ElicitResult | ErrorData]]


class Person:
    """A person at the client: the shown forms, and the replies."""

    def __init__(self) -> None:
        self.shown: list[ElicitRequestFormParams] = []
        self.reply: Reply = _decline

    async def __call__(self, context: Any, params: Any) -> ElicitResult | ErrorData:
        self.shown.append(params)
        return await self.reply(params)


async def _decline(_: ElicitRequestFormParams) -> ElicitResult | ErrorData:
    return ElicitResult(action="decline")


async def _cancel(_: ElicitRequestFormParams) -> ElicitResult | ErrorData:
    return ElicitResult(action="cancel")


async def _fail(_: ElicitRequestFormParams) -> ElicitResult | ErrorData:
    return ErrorData(code=-32603, message="the window was closed")


def says(content: dict[str, Any]) -> Reply:
    """A person who fills in the form."""

    async def reply(_: ElicitRequestFormParams) -> ElicitResult | ErrorData:
        return ElicitResult(action="accept", content=content)

    return reply


@pytest.fixture(scope="module")
def person() -> Person:
    """The person at the module's client."""
    return Person()


@pytest.fixture(scope="module")
async def asking(shared_db: str, person: Person, anyio_backend: str) -> AsyncIterator[Client]:
    """A client whose person can be asked."""
    async with Client.start(server_command("--db", shared_db), elicit=person) as client:
        await client.call("feature_get_stats")
        yield client


@asynccontextmanager
async def question_of(client: Client, backlog: Database) -> AsyncIterator[tuple[int, dict[str, Any]]]:
    """Claim a feature, and return it with the arguments of a question about it."""
    (feature,) = add(backlog)
    token = (await client.call("feature_claim_and_get", feature_id=feature))["claim"]["token"]
    yield feature, {"feature_id": feature, "prompt": PROMPT, "fields": FIELDS, "claim_token": token}


async def test_an_answer_at_once_keeps_the_claim(asking: Client, person: Person, backlog: Database) -> None:
    """The person sees the prompt and a form, and the answer comes back with the claim still held."""
    person.shown.clear()
    person.reply = says({"colour": "blue", "sure": True})
    async with question_of(asking, backlog) as (feature, arguments):
        answer = await asking.call("feature_request_human_input", **arguments)
        assert (answer["status"], answer["answer"]) == ("in_progress", {"colour": "blue", "sure": True})
        (shown,) = person.shown
        assert shown.message == PROMPT
        schema = shown.requested_schema
        assert schema["required"] == ["colour"]
        assert schema["properties"]["colour"] == {
            "type": "string",
            "title": "Which colour?",
            "enum": ["red", "blue"],
        }
        assert schema["properties"]["sure"]["type"] == "boolean"
        kept = row(backlog, feature)
        assert (kept["status"], kept["claim_token"]) == ("in_progress", arguments["claim_token"])
        assert [event["kind"] for event in journal(backlog, feature)] == [
            Kind.CREATE,
            Kind.CLAIM,
            Kind.ANSWER,
        ]
        assert (await asking.call("feature_mark_passing", feature_id=feature))["status"] == "passing"


@pytest.mark.parametrize("reply", [_decline, _cancel, _fail], ids=["declined", "cancelled", "failed"])
async def test_without_an_answer_the_feature_waits(
    asking: Client, person: Person, backlog: Database, reply: Reply
) -> None:
    """If the person declines, cancels or cannot be asked, the request stays open, and the claim ends."""
    person.reply = reply
    async with question_of(asking, backlog) as (feature, arguments):
        answer = await asking.call("feature_request_human_input", **arguments)
        assert answer["status"] == "needs_human"
        assert "claim" in answer["hint"].lower()
        kept = row(backlog, feature)
        assert (kept["status"], kept["claim_token"], kept["human_request"]["prompt"]) == (
            "needs_human",
            None,
            PROMPT,
        )


async def test_a_client_that_cannot_ask_is_not_asked(server: Client, backlog: Database) -> None:
    """Without the capability the request is stored at once, and a planner's answer comes with the next claim."""
    async with question_of(server, backlog) as (feature, arguments):
        assert (await server.call("feature_request_human_input", **arguments))["status"] == "needs_human"
        told = await server.call("feature_answer_human_input", feature_id=feature, answers={"colour": "red"})
        assert told == {"id": feature, "status": "pending"}
        work = (await server.call("feature_claim_and_get", feature_id=feature))["feature"]
        assert work["human_answer"]["answers"] == {"colour": "red"}
        assert work["human_answer"]["prompt"] == PROMPT


async def test_a_request_can_be_withdrawn(server: Client, backlog: Database) -> None:
    """A cancelled request sends the feature back to the queue, without an answer."""
    async with question_of(server, backlog) as (feature, arguments):
        await server.call("feature_request_human_input", **arguments)
        assert (await server.call("feature_answer_human_input", feature_id=feature, cancel=True))["status"] == "pending"
        with pytest.raises(NotWaitingForHuman):
            await server.call("feature_answer_human_input", feature_id=feature, answers={"colour": "red"})
        assert "human_answer" not in (await server.call("feature_claim_and_get", feature_id=feature))["feature"]


MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"colour": "green"}, "answers.colour"),
    ({"sure": True}, "answers.colour"),
    ({"colour": "red", "shape": "round"}, "answers.shape"),
    ({"colour": "red", "sure": "yes"}, "answers.sure"),
    ({"colour": "red", "why": "x" * 5_001}, "answers.why"),
]


@pytest.mark.parametrize(("content", "field"), MISFITS)
async def test_a_form_that_does_not_fit_leaves_the_claim(
    asking: Client, person: Person, backlog: Database, content: dict[str, Any], field: str
) -> None:
    """An answer that does not fit the fields is refused by name; the claim and the row stay."""
    person.reply = says(content)
    async with question_of(asking, backlog) as (feature, arguments):
        before = row(backlog, feature)
        with pytest.raises(InvalidInput) as caught:
            await asking.call("feature_request_human_input", **arguments)
        assert caught.value.details["field"] == field
        assert row(backlog, feature) == before


async def test_a_long_answer_at_once_fits_an_answer(asking: Client, person: Person, backlog: Database) -> None:
    """Ten long strings that a person typed are stored completely, and the acknowledgement stays within its budget."""
    said = {f"field{n}": "x" * 5_000 for n in range(10)}
    person.reply = says(said)
    async with question_of(asking, backlog) as (feature, arguments):
        fields = [{"id": name, "label": name} for name in said]
        answer = await asking.call("feature_request_human_input", **arguments | {"fields": fields})
        assert row(backlog, feature)["human_answer"]["answers"] == said
        assert len(str(answer)) <= 10_000


async def test_what_a_person_types_is_cleaned(asking: Client, person: Person, backlog: Database) -> None:
    """Invisible characters of a person's answer are removed, as in every string."""
    person.reply = says({"colour": "blue", "why": "a\u202eb\x1b[31mc\u200b"})
    async with question_of(asking, backlog) as (feature, arguments):
        answer = await asking.call("feature_request_human_input", **arguments)
        assert answer["answer"]["why"] == "abc"
        assert row(backlog, feature)["human_answer"]["answers"]["why"] == "abc"


async def test_a_claim_that_was_lost_meanwhile_gets_no_answer(
    asking: Client, person: Person, backlog: Database
) -> None:
    """An answer after the claim was lost changes nothing."""

    async def slowly(_: ElicitRequestFormParams) -> ElicitResult | ErrorData:
        expire(backlog, feature)
        backlog.write_now(reap)
        token_of(backlog, feature, "grace")
        return ElicitResult(action="accept", content={"colour": "red"})

    person.reply = slowly
    async with question_of(asking, backlog) as (feature, arguments):
        with pytest.raises(ClaimLost):
            await asking.call("feature_request_human_input", **arguments)
        kept = row(backlog, feature)
        assert (kept["claimed_by"], kept["human_answer"]) == (f"grace-{feature}", None)


async def test_nobody_is_asked_about_a_claim_that_is_lost(asking: Client, person: Person, backlog: Database) -> None:
    """A lost claim is refused before the person is disturbed."""
    async with question_of(asking, backlog) as (feature, arguments):
        backlog.write_now(lambda tx: release(tx, "planner", feature, None, force=True))
        person.shown.clear()
        with pytest.raises(ClaimLost):
            await asking.call("feature_request_human_input", **arguments)
        assert person.shown == []


async def test_other_calls_are_answered_while_a_person_thinks(
    asking: Client, person: Person, backlog: Database
) -> None:
    """An open question blocks neither the connection's other calls nor the database."""
    answered = anyio.Event()

    async def after_others(_: ElicitRequestFormParams) -> ElicitResult | ErrorData:
        await answered.wait()
        return ElicitResult(action="accept", content={"colour": "red"})

    person.reply = after_others
    async with question_of(asking, backlog) as (_, arguments), anyio.create_task_group() as tasks:
        person.shown.clear()
        tasks.start_soon(lambda: asking.call("feature_request_human_input", **arguments))
        while not person.shown:
            await anyio.lowlevel.checkpoint()
        (other,) = add(backlog)
        await asking.call("feature_add_note", feature_id=other, text="meanwhile")
        taken = take(backlog, agent(f"grace-{other}"), other).claim.token
        backlog.write_now(lambda tx: outcome.mark_passing(tx, "grace", other, taken))
        answered.set()


async def test_the_user_answers_questions_at_once(asking: Client, person: Person) -> None:
    """Choices are returned by header. A person types several with commas between them."""
    person.shown.clear()
    person.reply = says({"Colour": "blue", "Sizes": "S, L"})
    answer = await asking.call("ask_user", questions=QUESTIONS)
    assert (answer["state"], answer["answers"]) == ("answered", {"Colour": "blue", "Sizes": ["S", "L"]})
    (shown,) = person.shown
    assert shown.requested_schema["properties"]["Colour"]["enum"] == ["red", "blue"]
    assert "warm" in shown.requested_schema["properties"]["Colour"]["description"]
    again = await asking.call("ask_user", question_id=answer["question_id"])
    assert again["answers"] == answer["answers"]


ENDS = [(_decline, "cancelled"), (_cancel, "open"), (_fail, "open")]


@pytest.mark.parametrize(("reply", "state"), ENDS, ids=["declined", "cancelled", "failed"])
async def test_a_question_that_is_not_answered_stays_or_is_withdrawn(
    asking: Client, person: Person, reply: Reply, state: str
) -> None:
    """Declining closes the question; cancelling leaves it open."""
    person.reply = reply
    answer = await asking.call("ask_user", questions=QUESTIONS)
    assert answer["state"] == state
    assert (await asking.call("ask_user", question_id=answer["question_id"]))["state"] == state


async def test_a_question_waits_for_a_planner(server: Client) -> None:
    """Without a person at the client a question is open until a planner answers it, once."""
    number = (await server.call("ask_user", questions=QUESTIONS))["question_id"]
    assert (await server.call("ask_user", question_id=number))["state"] == "open"
    told = {"Colour": "red", "Sizes": ["M"]}
    await server.call("feature_answer_human_input", question_id=number, answers=told)
    assert (await server.call("ask_user", question_id=number))["answers"] == told
    with pytest.raises(NotWaitingForHuman):
        await server.call("feature_answer_human_input", question_id=number, cancel=True)


async def test_a_long_answer_to_a_question_is_refused_or_fits(server: Client) -> None:
    """The answer to a question fits its budget, however much the person types."""
    number = (await server.call("ask_user", questions=QUESTIONS))["question_id"]
    told = {"Colour": "x" * 1_000_000, "Sizes": ["M"] * 10_000}
    with pytest.raises(InvalidInput):
        await server.call("feature_answer_human_input", question_id=number, answers=told)
    assert len(str(await server.call("ask_user", question_id=number))) <= 10_000


@pytest.fixture(scope="module")
async def modern(shared_db: str, person: Person, anyio_backend: str) -> AsyncIterator[mcp.Client]:
    """The SDK's own client, in the era in which the client asks and repeats the call with the answer."""
    command = server_command("--db", shared_db)
    server = mcp.StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
    async with mcp.Client(server, elicitation_callback=person) as client:
        assert client.session.protocol_version == "2026-07-28"
        yield client


MODERN = [
    (says({"colour": "blue"}), "in_progress", [Kind.ANSWER]),
    (_decline, "needs_human", [Kind.ASK]),
    (_cancel, "needs_human", [Kind.ASK]),
]


@pytest.mark.parametrize(("reply", "status", "kinds"), MODERN, ids=["accepted", "declined", "cancelled"])
async def test_the_modern_era_asks_all_the_same(
    modern: mcp.Client, person: Person, backlog: Database, reply: Reply, status: str, kinds: list[Kind]
) -> None:
    """If the client repeats the call, the person is asked once, and one transition is made."""
    person.shown.clear()
    person.reply = reply
    (feature,) = add(backlog)
    await modern.call_tool("feature_claim_and_get", {"feature_id": feature})
    arguments = {"feature_id": feature, "prompt": PROMPT, "fields": FIELDS}
    answer = both_channels(await modern.call_tool("feature_request_human_input", arguments))
    assert answer["status"] == row(backlog, feature)["status"] == status
    assert [event["kind"] for event in journal(backlog, feature)] == [Kind.CREATE, Kind.CLAIM, *kinds]
    assert [shown.message for shown in person.shown] == [PROMPT]


MODERN_QUESTIONS = [
    (says({"Colour": "red", "Sizes": "S,M"}), "answered"),
    (_decline, "cancelled"),
    (_cancel, "open"),
]


@pytest.mark.parametrize(("reply", "state"), MODERN_QUESTIONS, ids=["accepted", "declined", "cancelled"])
async def test_the_modern_era_keeps_a_question_once(
    modern: mcp.Client, person: Person, backlog: Database, reply: Reply, state: str
) -> None:
    """The repeated call of the client does not ask the question a second time."""
    person.reply = reply
    before = len(board(backlog)["questions"])
    answer = both_channels(await modern.call_tool("ask_user", {"questions": QUESTIONS}))
    assert (answer["state"], len(board(backlog)["questions"])) == (state, before + 1)
