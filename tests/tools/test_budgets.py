"""Answers stay within their budgets in the worst case, and cursors return everything exactly once."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from itertools import cycle, islice
from typing import Any

import pytest
from sqlalchemy import update

from dibs.client import Client
from dibs.database import Database
from dibs.transfer.importer import import_features
from dibs.verbs import ask_person, ask_user, lease, outcome
from dibs.verbs.create import create_bulk
from dibs.verbs.review import return_to_queue
from dibs.verbs.update import add_note
from dibs.verbs.verify import take_for_regression
from dibs_schema.evidence import EvidenceFields
from dibs_schema.inputs import HumanField
from dibs_schema.status import Status
from dibs_schema.tables import projects
from tools.conftest import both_channels
from verbs.stage import (
    Placed,
    add,
    alter,
    ask_question,
    board,
    depend,
    imported,
    journal,
    named,
    new,
    place,
    rule,
    take,
)

pytestmark = pytest.mark.anyio

ONCE_READ = pytest.mark.only_on("sqlite", reason="what was read weighs the same, whichever engine it came from")

ACKNOWLEDGEMENT = 250
ROW_BESIDE_NAME = 160
HAND_OVER = 4_000
REST_OF_A_CLAIM = 600
ANSWER = 10_000

ALPHABETS = ["x", '"', "\\", "é", "😀", "a\n", "<b>&'"]
"""The characters of generated strings: some take more room as JSON, some as bytes."""

EACH = pytest.mark.parametrize(
    "letters", ALPHABETS, ids=["plain", "quotes", "backslashes", "accents", "emoji", "lines", "markup"]
)


def words(letters: str, length: int) -> str:
    """Return a string with this number of characters, which begins and ends with a visible one."""
    return "a" + "".join(islice(cycle(letters), length - 2)) + "z"


def octets(data: Any) -> int:
    """Return the number of bytes of the data as compact JSON."""
    return len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())


async def ask(server: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Return an answer, which must neither be a refusal nor exceed the limit for answers."""
    result = await server.call_raw(tool, arguments)
    data = both_channels(result)
    assert not result.is_error, data
    characters = len(json.dumps(data, ensure_ascii=False, separators=(",", ":")))
    assert characters <= ANSWER, f"{tool} answered {characters} characters"
    return data


@pytest.fixture(scope="module", autouse=True)
def a_large_project(backlog: Database) -> None:
    """Give the project ids of seven digits, and settings that let a feature fail often."""
    statement = update(projects).values(next_feature_id=1_000_001)
    backlog.write_now(lambda tx: tx.run(statement.where(projects.c.id == tx.project.id)))
    rule(backlog, max_failures=1_000, max_same_failures=1_000, max_attempts=1_000, max_skips=1_000)


# -- acknowledgements ---------------------------------------------------------------------------------


def _held(backlog: Database) -> dict[str, Any]:
    on = place(backlog, Status.IN_PROGRESS, priority=-(10**9))
    return {"feature_id": on.id, "claim_token": on.token}


def _held_by_many(backlog: Database) -> dict[str, Any]:
    held = _held(backlog)
    add(backlog, 15, dependencies=[held["feature_id"]])
    return held


def _skipped_often(backlog: Database) -> dict[str, Any]:
    held = _held(backlog)
    (last,) = add(backlog, priority=10**9 - 1)
    alter(backlog, held["feature_id"], skips=900, failures=900, attempts=900)
    assert last
    return held


def _blocked(backlog: Database) -> dict[str, Any]:
    held = _held(backlog)
    depend(backlog, held["feature_id"], *add(backlog, 20))
    ask_question(backlog, held["feature_id"])
    alter(backlog, held["feature_id"], skips=900, failures=900, attempts=900)
    for _ in range(100):
        backlog.write_now(partial(add_note, by="tess", feature=held["feature_id"], note=words("x", 2_000)))
    return held


def _twenty_others(backlog: Database) -> dict[str, Any]:
    feature = add(backlog, dependencies=add(backlog, 20))[0]
    return {"feature_id": feature, "dependency_ids": add(backlog, 20)}


def _stuck(backlog: Database) -> dict[str, Any]:
    (feature,) = add(backlog)
    alter(backlog, feature, status="stuck")
    return {"feature_id": feature}


PROOF = {
    "summary": words("x", 2_000),
    "commands": [{"command": "pytest", "exit_code": 0}] * 20,
    "commit": "c" * 100,
}
TEXTS = {"category": "c", "name": "n", "description": "d", "steps": ["s"], "priority": 10**9}
FIELDS = [{"id": f"field-{n}", "label": words("x", 200)} for n in range(10)]

ACKNOWLEDGED: list[tuple[str, Callable[[Database], dict[str, Any]], dict[str, Any]]] = [
    ("feature_mark_in_progress", lambda backlog: {"feature_id": add(backlog)[0]}, {"agent": words("x", 100)}),
    ("feature_heartbeat", _held, {"note": words("x", 2_000)}),
    ("feature_heartbeat", _blocked, {"note": words("x", 2_000)}),
    ("feature_clear_in_progress", _blocked, {}),
    ("feature_skip", _blocked, {"reason": words("x", 2_000)}),
    ("feature_add_note", lambda backlog: {"feature_id": _blocked(backlog)["feature_id"]}, {"text": words("x", 2_000)}),
    ("feature_clear_in_progress", _skipped_often, {}),
    ("feature_mark_passing", _held_by_many, {"evidence": PROOF}),
    ("feature_mark_failing", _skipped_often, {"reason": words("x", 2_000)}),
    ("feature_skip", _skipped_often, {"reason": words("x", 2_000)}),
    ("feature_request_human_input", _held, {"prompt": words("x", 2_000), "fields": FIELDS}),
    (
        "feature_answer_human_input",
        lambda backlog: {"feature_id": place(backlog, Status.NEEDS_HUMAN).id},
        {"answers": {"colour": "red"}},
    ),
    ("feature_add_note", lambda backlog: {"feature_id": add(backlog)[0]}, {"text": words("x", 2_000)}),
    (
        "feature_return",
        lambda backlog: {"feature_id": place(backlog, Status.PASSING).id},
        {"feedback": words("x", 2_000)},
    ),
    (
        "feature_reject",
        lambda backlog: {"feature_id": place(backlog, Status.PASSING).id},
        {"reason": words("x", 2_000)},
    ),
    ("feature_update", _stuck, TEXTS | {"retry": True, "archived": True}),
    ("feature_move", _skipped_often, {"to": "end"}),
    ("feature_set_dependencies", _twenty_others, {}),
]


@ONCE_READ
@pytest.mark.parametrize(("tool", "arrange", "arguments"), ACKNOWLEDGED, ids=[case[0] for case in ACKNOWLEDGED])
async def test_an_acknowledgement_is_short(
    server: Client,
    backlog: Database,
    tool: str,
    arrange: Callable[[Database], dict[str, Any]],
    arguments: dict[str, Any],
) -> None:
    """An acknowledgement has at most 250 bytes, even for long arguments and many changes."""
    answer = await ask(server, tool, **arrange(backlog), **arguments)
    assert octets(answer) <= ACKNOWLEDGEMENT, answer


async def test_what_was_created_is_told_in_ids(server: Client) -> None:
    """A thousand new features are acknowledged by their ids alone."""
    feature = {"category": "c", "name": "n", "description": "d", "steps": ["s"]}
    answer = await ask(server, "feature_create_bulk", features=[feature] * 1_000, allow_duplicates=True)
    assert answer["count"] == len(answer["ids"]) == 1_000


# -- rows ---------------------------------------------------------------------------------------------


def _rows(backlog: Database, letters: str) -> list[int]:
    """Create features with the longest rows: claimed, backing off, with many dependencies, and waiting for a person."""
    texts: dict[str, Any] = {
        "name": words(letters, 255),
        "category": words(letters, 100),
        "priority": -(10**9),
    }
    needed = add(backlog, 8, **texts)
    waiting = add(backlog, dependencies=needed, **texts)
    (held,) = add(backlog, **texts)
    take(backlog, named(words(letters, 90) + str(held)), held)
    now = backlog.write_now(lambda tx: tx.now)
    alter(backlog, needed[0], not_before=now + 500)
    asking = place(backlog, Status.NEEDS_HUMAN, **texts).id
    (files,), (behind,) = (add(backlog, paths=[f"files of {held}"], **texts) for _ in "ab")
    take(backlog, named(words(letters, 90) + str(files)), files)
    return [*needed, *waiting, held, asking, files, behind]


@ONCE_READ
@EACH
async def test_a_row_is_short_beside_its_name(server: Client, backlog: Database, letters: str) -> None:
    """A row of any list takes at most 160 bytes in addition to its name."""
    ids = _rows(backlog, letters)
    listed = [
        (await ask(server, "feature_get_summary", feature_ids=ids[-6:]))["features"],
        (await ask(server, "feature_search", category=words(letters, 100), limit=20))["features"],
        (await ask(server, "feature_get_blocked", limit=100))["features"],
        (await ask(server, "feature_get_ready", limit=50))["features"],
    ]
    assert any("held_by" in row for row in listed[2])
    for row in [row for rows in listed for row in rows]:
        assert octets(row) - octets(row["name"]) <= ROW_BESIDE_NAME, json.dumps(row)


# -- claims -------------------------------------------------------------------------------------------


def _worst(backlog: Database, letters: str) -> int:
    """Create a ready feature with the longest fields and hand-over that the bounds allow."""
    said = partial(words, letters)
    proof = EvidenceFields.model_validate({"summary": said(2_000), "commit": said(100)})
    base = [new(said(255), category=said(100)) for _ in range(20)]
    needed = backlog.write_now(partial(create_bulk, by=said(100), entries=base)).ids
    for one in needed:
        token = take(backlog, named(f"{said(80)}{one}"), one).claim.token
        backlog.write_now(partial(outcome.mark_passing, by="a", feature=one, token=token, evidence=proof))
    texts: dict[str, Any] = {"category": said(100), "description": said(20_000), "steps": [said(2_000)] * 100}
    alike = said(90).translate(str.maketrans("\\\n", "//"))
    texts["paths"] = [f"{needed[0]}{number:02}{alike}"[: 92 - 40 * ('"' in alike)] for number in range(20)]
    (feature,) = add(backlog, name=said(255), dependencies=needed, **texts)
    alter(backlog, feature, reference=f"{said(240)}{feature}")
    agent = named(f"{said(80)}{feature}")
    token = take(backlog, agent, feature).claim.token
    backlog.write_now(partial(outcome.mark_passing, by=agent.name, feature=feature, token=token))
    backlog.write_now(partial(return_to_queue, by=said(100), feature=feature, feedback=said(2_000)))
    for _ in range(4):
        alter(backlog, feature, not_before=None)
        token = take(backlog, agent, feature).claim.token
        for _ in range(3):
            backlog.write_now(partial(lease.heartbeat, feature=feature, token=token, note=said(2_000)))
        backlog.write_now(
            partial(outcome.mark_failing, by=agent.name, feature=feature, reason=said(2_000), token=token)
        )
    backlog.write_now(partial(add_note, by=agent.name, feature=feature, note=said(2_000)))
    alter(backlog, feature, not_before=None)
    token = take(backlog, agent, feature).claim.token
    fields = [HumanField(id="f" * 60 + str(n), label=said(200)) for n in range(10)]
    request = ask_person.new_request(said(2_000), fields)
    backlog.write_now(
        partial(ask_person.request_human_input, by=agent.name, feature=feature, token=token, request=request)
    )
    answers = {field.id: said(5_000) for field in fields}
    backlog.write_now(partial(ask_person.answer_feature, by=said(100), feature=feature, answers=answers))
    for _ in "ab":
        question = ask_question(backlog, feature)
        reply = {"Port": said(5_000)}
        backlog.write_now(partial(ask_user.answer_question, by=said(100), number=question, answers=reply))
    return feature


OWN = ("name", "description", "steps", "paths")


@ONCE_READ
@EACH
async def test_a_claim_is_its_text_and_a_short_hand_over(server: Client, backlog: Database, letters: str) -> None:
    """A claim returns the feature's own text, 4,000 bytes of hand-over, and 600 bytes of other data."""
    feature = _worst(backlog, letters)
    answer = await ask(server, "feature_claim_and_get", feature_id=feature, agent=words(letters, 90) + str(feature))
    work = answer["feature"]
    assert (
        len(json.dumps([work["description"], *work.get("steps", [])], ensure_ascii=False))
        <= 5_000 + 2 * len(work.get("steps", [])) + 10
    )
    own = sum(octets(work[name]) for name in OWN if name in work)
    assert octets(answer) - own <= HAND_OVER + REST_OF_A_CLAIM
    assert len(work["dependencies"]) == 20
    assert {"failures", "notes", "human_answer", "next_cursor"} <= work.keys()


@ONCE_READ
@EACH
async def test_what_the_project_tells_takes_the_room_of_the_text(
    server: Client, backlog: Database, letters: str
) -> None:
    """With the longest instructions and definition, the answers stay within their limits, and a claim has them."""
    feature = _worst(backlog, letters)
    told, done = words(letters, 2_000), words(letters, 500)
    rule(backlog, instructions=told, done_when={words(letters, 100): done})
    try:
        answer = await ask(server, "feature_claim_and_get", feature_id=feature, agent=words(letters, 90) + str(feature))
        work = answer["feature"]
        own = sum(octets(work[name]) for name in (*OWN, "instructions", "done_when") if name in work)
        assert octets(answer) - own <= HAND_OVER + REST_OF_A_CLAIM
        read = await ask(server, "feature_get_by_id", feature_id=feature)
        assert work["done_when"] == done
        assert work["instructions"] == told[: len(work["instructions"])]
        assert len(work["instructions"]) >= 1_400
        assert told.startswith(read["instructions"].removesuffix("…"))
        assert all(one["description"] and one["next_cursor"] for one in (work, read))
        await server.call("feature_mark_passing", feature_id=feature, claim_token=answer["claim"]["token"])
        assert await ask(server, "feature_get_for_regression", limit=10)
    finally:
        rule(backlog, instructions="", done_when={})


@ONCE_READ
@EACH
async def test_a_look_at_the_worst_feature_fits_an_answer(server: Client, backlog: Database, letters: str) -> None:
    """A feature with everything that the bounds allow fits in one answer, and so does each of its pages."""
    feature = _worst(backlog, letters)
    page = await ask(server, "feature_get_by_id", feature_id=feature)
    parts = [page["description"], *page.get("steps", [])]
    while "next_cursor" in page:
        cursor = page["next_cursor"]
        page = await ask(server, "feature_get_by_id", feature_id=feature, cursor=cursor)
        pieces = ([page["description"]] if "description" in page else []) + page.get("steps", [])
        if not cursor.endswith(":0"):
            parts[-1] += pieces.pop(0)
        parts += pieces
    assert parts == [words(letters, 20_000)] + [words(letters, 2_000)] * 100


@ONCE_READ
@EACH
async def test_a_history_fits_its_answers(server: Client, backlog: Database, letters: str) -> None:
    """The events of the worst feature come in pages that fit; each event comes once, the newest first."""
    feature = _worst(backlog, letters)
    kinds: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await ask(server, "feature_get_history", feature_id=feature, limit=100, **cursor)
        kinds += [event["kind"] for part in page["parts"] for event in part["events"]]
        if "next_cursor" not in page:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert kinds == [event["kind"] for event in reversed(journal(backlog, feature))]
    assert len(kinds) == page["total"]


@ONCE_READ
@EACH
async def test_a_history_of_many_attempts_fits_its_answers(server: Client, backlog: Database, letters: str) -> None:
    """Attempts with long names and reasons, and nothing else in them, come in pages that fit."""
    rule(backlog, max_failures=1_000, max_same_failures=1_000, max_attempts=1_000)
    (feature,) = add(backlog)
    for number in range(40):
        alter(backlog, feature, not_before=None)
        agent = named(f"{number} {words(letters, 90)}")
        token = take(backlog, agent, feature).claim.token
        failing = partial(outcome.mark_failing, by=agent.name, feature=feature, token=token)
        backlog.write_now(partial(failing, reason=words(letters, 2_000 if number % 2 else 10)))
    page = await ask(server, "feature_get_history", feature_id=feature, limit=100)
    ended = [part["attempt"] for part in page["parts"]]
    while "next_cursor" in page:
        page = await ask(server, "feature_get_history", feature_id=feature, limit=100, cursor=page["next_cursor"])
        ended += [part["attempt"] for part in page["parts"] if "attempt" in part]
    assert len({one["agent"] for one in ended}) == 40
    assert all(one["outcome"] == "failed" and one["reason"] for one in ended)


@ONCE_READ
@EACH
async def test_regression_tests_fit_an_answer(server: Client, backlog: Database, letters: str) -> None:
    """Ten passing features with long descriptions, or fewer, are returned in one answer that fits."""
    texts: dict[str, Any] = {"description": words(letters, 20_000), "steps": [words(letters, 2_000)] * 5}
    batch = [imported(f"{letters}-{n}", status=Status.PASSING, **texts) for n in range(10)]
    backlog.write_now(lambda tx: take_for_regression(tx, 1_000))
    ids = backlog.write_now(lambda tx: import_features(tx, batch))
    answer = await ask(server, "feature_get_for_regression", limit=10)
    assert answer["features"][0]["id"] == ids.first_id
    reserved = [
        row["id"] for row in board(backlog)["features"] if row["testing_until"] and row["id"] >= (ids.first_id or 0)
    ]
    assert [one["id"] for one in answer["features"]] == reserved


# -- lists --------------------------------------------------------------------------------------------


async def _every(server: Client, tool: str, **asked: Any) -> list[int]:
    """Return the ids on all pages of a list. Each page must fit its budget and have the same total."""
    page = await ask(server, tool, **asked)
    ids = [row["id"] for row in page["features"]]
    while "next_cursor" in page:
        following = await ask(server, tool, cursor=page["next_cursor"], **asked)
        assert following["total"] == page["total"]
        page = following
        ids += [row["id"] for row in page["features"]]
    assert len(ids) == page["total"]
    return ids


@EACH
async def test_lists_page_through_everything_once(
    serve: Callable[..., AbstractAsyncContextManager[Client]], database: Database, letters: str
) -> None:
    """Pages of the longest rows fit, and following their cursors returns each row once, in order."""
    category = f"paged {letters}"
    texts: dict[str, Any] = {"category": category, "name": words(letters, 255)}
    ids = add(database, 110, **texts)
    blocked = add(database, 60, dependencies=ids[:6], **texts)
    long = {"category": f"long {letters}", "name": words(letters, 255), "description": words(letters, 20_000)}
    texts_of = add(database, 12, **long)
    async with serve() as server:
        assert await _every(server, "feature_search", category=category, limit=100) == [*ids, *blocked]
        asked = {"category": long["category"], "detail": "full", "limit": 100}
        assert await _every(server, "feature_search", **asked) == texts_of
        assert sorted(await _every(server, "feature_get_ready", limit=50)) == [*ids, *texts_of]
        assert await _every(server, "feature_get_blocked", limit=100) == blocked


@ONCE_READ
@EACH
async def test_fifty_summaries_fit_an_answer(server: Client, backlog: Database, letters: str) -> None:
    """Answers about fifty features with the longest names fit, with a cursor or in a shorter form."""
    ids = add(backlog, 50, name=words(letters, 255), category=words(letters, 100))
    answer = await ask(server, "feature_get_summary", feature_ids=ids)
    assert [row["id"] for row in answer["features"]] == ids[: len(answer["features"])]


@ONCE_READ
@EACH
@pytest.mark.parametrize("form", ["json", "mermaid"])
async def test_the_graph_fits_an_answer(server: Client, backlog: Database, letters: str, form: str) -> None:
    """A graph of a hundred nodes with long names is cut to fit, and the answer reports the cut."""
    needed = add(backlog, 20, name=words(letters, 255))
    layers = [add(backlog, 100, name=words(letters, 255), dependencies=below) for below in ([], needed)]
    rule(backlog, max_dependencies=100)
    roots = [add(backlog, name=words(letters, 255), dependencies=layer)[0] for layer in layers]
    rule(backlog, max_dependencies=20)
    for root, total in zip(roots, (101, 121), strict=True):
        answer = await ask(server, "feature_get_graph", root=root, limit=100, format=form)
        assert (answer["total"], answer["cut"]) == (total, True)


@ONCE_READ
@EACH
@pytest.mark.parametrize("by", ["category", "agent"])
async def test_statistics_fit_an_answer(server: Client, backlog: Database, letters: str, by: str) -> None:
    """However many categories or agents there are, and however long their names, the answer fits."""
    for number in range(60):
        on: Placed = place(backlog, Status.IN_PROGRESS, category=f"{number}{words(letters, 90)}")
        alter(backlog, on.id, claimed_by=f"{number}{words(letters, 90)}")
    answer = await ask(server, "feature_get_stats", by=by)
    assert len(answer["groups"]) == 50
