"""Every refusal reaches the client with its code and a message for an agent, and changes nothing."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from dibs.client import Client, server_command
from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs.verbs.lease import reap
from dibs_schema.refusals import Busy, all_codes
from dibs_schema.status import Status
from dibs_schema.tables import metadata
from foreign import by_hand
from races.locks import held
from tools.conftest import both_channels
from verbs.stage import add, alter, board, depend, expire, named, place, rule, take, token_of

pytestmark = pytest.mark.anyio

Arguments = dict[str, Any]
Arrange = Callable[[Client, Database], Awaitable[Arguments]]

ELSEWHERE = {
    "not_verified": "test_verification.py has a command to run",
    "outcome_unknown": "tests/faults breaks the disk or the server during a commit",
    "disk_full": "tests/faults fills a real disk",
    "unsafe_filesystem": "tests/faults reads mount tables",
}
"""The codes that are tested elsewhere, and why."""

A_FILE = pytest.mark.only_on("sqlite", reason="this happens to files")
A_SERVER = pytest.mark.only_on("postgresql", reason="this happens on servers")

LIBRARY = re.compile(
    r"sqlite3|psycopg|libpq|sqlstate|sqlalchemy|pydantic|alembic|traceback|errno|https?://|\.py\b|\bexception\b"
    r"|\b0x[0-9a-f]{6}|validation error",
    re.IGNORECASE,
)
"""Words that only a library uses."""

CLAIM, PASS = "feature_claim_and_get", "feature_mark_passing"


def refusal_in(result: Any, code: str, then: str) -> dict[str, Any]:
    """Return the error in an answer, after checking the promises for all errors."""
    assert result.is_error
    error = both_channels(result)["error"]
    assert isinstance(error, dict)
    assert error["code"] == code, error
    assert error["retryable"] is all_codes()[code].retryable
    assert then in error["message"], f"the next call is not named: {error['message']}"
    assert len(str(error)) <= 2_000
    assert not LIBRARY.search(str(error)), error
    assert None not in error.values()
    return error


def at(status: Status) -> Arrange:
    """Create a feature in a status, and return its id."""

    async def arrange(_: Client, backlog: Database) -> Arguments:
        return {"feature_id": place(backlog, status).id}

    return arrange


async def nothing(_: Client, __: Database) -> Arguments:
    """The id of a feature that does not exist."""
    return {"feature_id": 2_000_000_000}


async def held_by_ada(_: Client, backlog: Database) -> Arguments:
    (held,) = add(backlog)
    take(backlog, named("ada the busy"), held)
    (other,) = add(backlog)
    return {"feature_id": other, "agent": "ada the busy"}


async def backing_off(_: Client, backlog: Database) -> Arguments:
    (feature,) = add(backlog)
    alter(backlog, feature, not_before=backlog.write_now(lambda tx: tx.now) + 300)
    return {"feature_id": feature}


async def claimed_elsewhere(_: Client, backlog: Database) -> Arguments:
    return {"feature_id": place(backlog, Status.IN_PROGRESS).id}


async def lost_to_another(server: Client, backlog: Database) -> Arguments:
    (feature,) = add(backlog)
    mine = await server.call(CLAIM, feature_id=feature)
    expire(backlog, feature)
    backlog.write_now(reap)
    token_of(backlog, feature, "grace")
    return {"feature_id": feature, "claim_token": mine["claim"]["token"]}


async def blocked(_: Client, backlog: Database) -> Arguments:
    needed, waiting = add(backlog, 2)
    depend(backlog, waiting, needed)
    return {"feature_id": waiting}


async def blocked_while_held(server: Client, backlog: Database) -> Arguments:
    needed, waiting = add(backlog, 2)
    token = (await server.call(CLAIM, feature_id=waiting))["claim"]["token"]
    depend(backlog, waiting, needed)
    return {"feature_id": waiting, "claim_token": token}


async def around(_: Client, backlog: Database) -> Arguments:
    needed, waiting = add(backlog, 2)
    depend(backlog, waiting, needed)
    return {"feature_id": needed, "dependency_id": waiting}


async def to_itself(_: Client, backlog: Database) -> Arguments:
    (feature,) = add(backlog)
    return {"feature_id": feature, "dependency_id": feature}


FEATURE = {"category": "core", "name": "a name", "description": "words", "steps": ["look"]}


async def batch_around(_: Client, __: Database) -> Arguments:
    return {"features": [FEATURE | {"depends_on_indices": [1]}, FEATURE | {"depends_on_indices": [0]}]}


async def twenty_one(_: Client, backlog: Database) -> Arguments:
    return {"feature_id": add(backlog)[0], "dependency_ids": add(backlog, 21)}


async def used_key(server: Client, _: Database) -> Arguments:
    await server.call("feature_create", **FEATURE, request_id="used before")
    return FEATURE | {"name": "another", "request_id": "used before"}


async def answered(server: Client, _: Database) -> Arguments:
    options = ["one", "two"]
    asked = await server.call("ask_user", questions=[{"question": "?", "header": "H", "options": options}])
    await server.call("feature_answer_human_input", question_id=asked["question_id"], answers={"H": "one"})
    return {"question_id": asked["question_id"], "cancel": True}


async def nothing_asked(_: Client, backlog: Database) -> Arguments:
    return {"feature_id": add(backlog)[0], "answers": {"colour": "red"}}


def given(**arguments: Any) -> Arrange:
    """Return a function that gives fixed arguments."""

    async def arrange(_: Client, __: Database) -> Arguments:
        return arguments

    return arrange


def also(arrange: Arrange, **arguments: Any) -> Arrange:
    """Return a function that gives more arguments in addition."""

    async def more(server: Client, backlog: Database) -> Arguments:
        return await arrange(server, backlog) | arguments

    return more


# The code, the set-up, the tool that refuses, and the next step that its message names.
CASES: list[tuple[str, Arrange, str, str]] = [
    ("not_found", nothing, CLAIM, "feature_search"),
    ("not_found", nothing, "feature_get_by_id", "feature_search"),
    ("not_found", also(nothing, text="a note"), "feature_add_note", "feature_search"),
    (
        "not_found",
        given(**FEATURE | {"name": "waits"}, dependencies=[2_000_000_000]),
        "feature_create",
        "feature_search",
    ),
    ("not_found", given(question_id=999), "ask_user", "ask_user"),
    ("already_claimed", claimed_elsewhere, CLAIM, CLAIM),
    ("already_claimed", claimed_elsewhere, "feature_mark_in_progress", CLAIM),
    (
        "already_claimed",
        also(claimed_elsewhere, archived=True),
        "feature_update",
        "feature_clear_in_progress",
    ),
    ("already_holding", held_by_ada, CLAIM, "resume=true"),
    ("already_passing", at(Status.PASSING), CLAIM, CLAIM),
    ("already_passing", at(Status.PASSING), "feature_heartbeat", CLAIM),
    ("not_claimed", at(Status.PENDING), PASS, CLAIM),
    ("not_claimed", at(Status.PENDING), "feature_heartbeat", CLAIM),
    ("not_ready", backing_off, CLAIM, CLAIM),
    ("claim_lost", lost_to_another, PASS, CLAIM),
    ("claim_lost", lost_to_another, "feature_heartbeat", CLAIM),
    ("claim_lost", also(lost_to_another, reason="broken"), "feature_mark_failing", CLAIM),
    ("claim_lost", also(lost_to_another, reason="later"), "feature_skip", CLAIM),
    ("claim_lost", lost_to_another, "feature_clear_in_progress", CLAIM),
    ("token_required", claimed_elsewhere, PASS, "claim_token"),
    ("token_required", also(claimed_elsewhere, reason="later"), "feature_skip", "resume=true"),
    ("unmet_dependencies", blocked, CLAIM, CLAIM),
    ("unmet_dependencies", blocked_while_held, PASS, "feature_clear_in_progress"),
    ("waiting_for_human", at(Status.NEEDS_HUMAN), CLAIM, "feature_answer_human_input"),
    ("waiting_for_human", at(Status.NEEDS_HUMAN), PASS, "dibs answer"),
    ("not_waiting_for_human", nothing_asked, "feature_answer_human_input", "dibs answer"),
    ("not_waiting_for_human", answered, "feature_answer_human_input", "ask_user"),
    ("stuck", at(Status.STUCK), CLAIM, "retry=true"),
    ("stuck", at(Status.STUCK), PASS, "retry=true"),
    ("archived", at(Status.ARCHIVED), CLAIM, "archived=false"),
    ("archived", also(at(Status.ARCHIVED), reason="later"), "feature_skip", "archived=false"),
    ("would_cycle", around, "feature_add_dependency", "feature_"),
    ("would_cycle", to_itself, "feature_add_dependency", "feature_"),
    ("would_cycle", batch_around, "feature_create_bulk", "feature_create_bulk"),
    ("too_many_dependencies", twenty_one, "feature_set_dependencies", "dibs settings"),
    ("invalid_input", given(feature_id="one"), CLAIM, "feature_id: "),
    ("invalid_input", given(catgory="red"), CLAIM, "is not known here; use category"),
    (
        "invalid_input",
        given(features=[FEATURE, FEATURE | {"steps": ["a", 5]}]),
        "feature_create_bulk",
        "features[1].steps[1]: ",
    ),
    ("invalid_input", given(resume=True), CLAIM, "your agent"),
    ("invalid_input", also(at(Status.PENDING), retry=True), "feature_update", "only a stuck feature"),
    ("request_reused", used_key, "feature_create", "new request_id"),
]


@pytest.mark.parametrize(("code", "arrange", "tool", "then"), CASES, ids=[f"{case[0]} by {case[2]}" for case in CASES])
async def test_a_refusal_says_what_is_true_and_changes_nothing(
    server: Client, backlog: Database, code: str, arrange: Arrange, tool: str, then: str
) -> None:
    """A refusal has its code in both channels and a next step, and every row stays unchanged."""
    arguments = await arrange(server, backlog)
    before = board(backlog)
    error = refusal_in(await server.call_raw(tool, arguments), code, then)
    assert board(backlog) == before
    if code == "invalid_input":
        assert error["field"]


async def test_too_many_claims(db: str) -> None:
    """A connection without a name is refused a seventeenth claim, and the refusal lists its claims."""
    async with Client.start(server_command("--db", db)) as client:
        await client.call("feature_create_bulk", features=[FEATURE] * 17, allow_duplicates=True)
        held = [(await client.call(CLAIM))["feature"]["id"] for _ in range(16)]
        error = refusal_in(await client.call_raw(CLAIM, {}), "too_many_claims", "feature_clear_in_progress")
        assert error["held"] == held
        assert (await client.call("feature_get_stats"))["counts"]["in_progress"] == 16


FORBIDDEN = [
    ("coder", "feature_update", {"feature_id": 1, "archived": True}),
    ("tester", CLAIM, {}),
    ("planner", PASS, {"feature_id": 1}),
    ("viewer", "feature_create", FEATURE),
    ("coder", "feature_clear_in_progress", {"feature_id": 1, "force": True}),
]


@pytest.mark.parametrize(("role", "tool", "arguments"), FORBIDDEN)
async def test_forbidden(db: str, role: str, tool: str, arguments: Arguments) -> None:
    """A tool of another role is refused, even with valid arguments."""
    mine = open_database(Settings(db=db))
    try:
        place(mine, Status.IN_PROGRESS)
        async with Client.start(server_command("--db", db, "--role", role)) as client:
            before = board(mine)
            then = "Only a planner" if "force" in arguments else "feature_get_"
            error = refusal_in(await client.call_raw(tool, arguments), "forbidden", then)
            assert error["tool"] == tool
            assert board(mine) == before
    finally:
        mine.close(patience=5)


async def test_busy(db: str) -> None:
    """While another program holds the lock, writes are refused in time, and reads are answered."""
    async with Client.start(server_command("--db", db, "--patience", "0.3")) as client:
        with contextlib.suppress(Busy):  # a third of a second may be too short for a starting server
            await client.call("feature_get_stats")
        await client.call("feature_create", **FEATURE)
        with held("engine", db):
            refusal_in(await client.call_raw(CLAIM, {}), "busy", "Call again")
            assert (await client.call("feature_get_stats"))["counts"] == {"ready": 1, "pending": 1}
        assert (await client.call(CLAIM))["state"] == "claimed"


@asynccontextmanager
async def serving(db: str | Path) -> AsyncIterator[Client]:
    """Run a server without showing its log, which is expected to have errors."""
    async with Client.start(server_command("--db", str(db)), stderr=subprocess.DEVNULL) as client:
        yield client


@A_FILE
@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_database_replaced(db: str, tmp_path: Path, how: str) -> None:
    """A deleted or replaced file is not written, and neither is the new file at its path."""
    async with serving(db) as client:
        await client.call("feature_create", **FEATURE)
        for name in ("", "-wal", "-shm"):
            shutil.move(f"{db}{name}", tmp_path / f"moved{name}")
        if how == "replaced":
            async with serving(db) as other:
                await other.call("feature_create", **FEATURE)
        refusal_in(await client.call_raw(CLAIM, {}), "database_replaced", "Restart the server")
        assert await anyio.Path(db).exists() == (how == "replaced")


@A_SERVER
@pytest.mark.parametrize("how", ["emptied", "replaced"])
async def test_database_replaced_on_a_server(db: str, how: str) -> None:
    """A database whose tables are missing, or belong to another backlog, is not written."""
    tables = ", ".join(metadata.tables)
    replace = f"DROP TABLE {tables}" if how == "emptied" else "UPDATE projects SET generation = 'another'"
    async with serving(db) as client:
        await client.call("feature_create", **FEATURE)
        by_hand(db, replace)
        refusal_in(await client.call_raw(CLAIM, {}), "database_replaced", "Restart the server")
    if how == "replaced":
        assert by_hand(db, "SELECT status FROM features") == [("pending",)]


@A_FILE
async def test_database_damaged(db: str) -> None:
    """A file that is no database is refused as damaged by every call, and stays unchanged."""
    await anyio.Path(db).write_bytes(b"this is not a database at all, " * 200)
    async with serving(db) as client:
        for tool in (CLAIM, "feature_get_stats"):
            refusal_in(await client.call_raw(tool, {}), "database_damaged", "dibs restore")
    assert await anyio.Path(db).read_bytes() == b"this is not a database at all, " * 200


async def test_schema_newer(db: str) -> None:
    """When a newer Dibs has migrated the database, a running server and a new one refuse to write."""
    async with serving(db) as client:
        await client.call("feature_create", **FEATURE)
        by_hand(db, "UPDATE alembic_version SET version_num = '9999'")
        error = refusal_in(await client.call_raw(CLAIM, {}), "schema_newer", "Update Dibs")
        assert error["schema"] == "9999"
        assert (await client.call("feature_get_stats"))["total"] == 1
        async with serving(db) as late:
            refusal_in(await late.call_raw(CLAIM, {}), "schema_newer", "Update Dibs")


@A_SERVER
async def test_read_only_on_a_server(db: str) -> None:
    """A user without write permission gets `read_only`, and can read."""
    async with serving(db) as client:
        await client.call("feature_create", **FEATURE)
        by_hand(db, f"REVOKE INSERT, UPDATE, DELETE ON {', '.join(metadata.tables)} FROM CURRENT_USER")
        refusal_in(await client.call_raw(CLAIM, {}), "read_only", "grants")
        assert (await client.call("feature_get_stats"))["total"] == 1


async def test_read_only(tmp_path: Path) -> None:
    """A file in the place of the folder cannot be written, and a folder in the place of the file is no database."""
    (tmp_path / "a file").write_text("in the way")
    async with serving(tmp_path / "a file" / "features.db") as client:
        refusal_in(await client.call_raw(CLAIM, {}), "read_only", "--db")
    async with serving(tmp_path) as client:
        refusal_in(await client.call_raw(CLAIM, {}), "invalid_input", "is a folder, not a regular file")


ON_THEIR_OWN = {
    "too_many_claims": test_too_many_claims,
    "forbidden": test_forbidden,
    "busy": test_busy,
    "database_replaced": test_database_replaced,
    "database_damaged": test_database_damaged,
    "schema_newer": test_schema_newer,
    "read_only": test_read_only,
}
"""The codes that need a separate server."""


def test_every_code_is_reached() -> None:
    """Every refusal has a test, here or elsewhere for a stated reason."""
    reached = {case[0] for case in CASES} | ON_THEIR_OWN.keys() | ELSEWHERE.keys()
    assert reached == all_codes().keys()


async def test_an_unknown_tool_is_refused_like_a_wrong_argument(server: Client) -> None:
    """A call of an unknown tool gets a refusal that lists the existing tools."""
    refusal_in(await server.call_raw("feature_delete_everything", {}), "invalid_input", CLAIM)
    refusal_in(await server.call_raw("x" * 100_000, {}), "invalid_input", CLAIM)


async def test_rules_are_obeyed_at_once(server: Client, backlog: Database) -> None:
    """A setting that another process changes applies from the next call on."""
    one, two = add(backlog, 2)
    await server.call(CLAIM, feature_id=one, agent="the ruled")
    refusal_in(
        await server.call_raw(CLAIM, {"feature_id": two, "agent": "the ruled"}),
        "already_holding",
        "resume=true",
    )
    rule(backlog, max_claims=2)
    try:
        await server.call(CLAIM, feature_id=two, agent="the ruled")
    finally:
        rule(backlog, max_claims=1)
