"""The history checker finds bugs that are planted into a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import pytest

from dibs.client import server_command
from dibs.database import Database
from dibs.queries.audit import audit
from dibs_proof.history.check import check
from dibs_proof.history.history import History
from dibs_proof.history.violations import Violation
from dibs_proof.planted_bugs import IN_HISTORIES, buggy_server
from dibs_proof.random_workload import QUESTION
from dibs_proof.read_database import read_initial_history
from dibs_proof.recording_client import RecordingClient
from races.backlog import LONG, assert_sound, fill
from races.test_history import prepare, recorded

Scenario = Callable[..., Awaitable[None]]
"""The calls of some clients, each with its own server."""

StartServer = Callable[..., AbstractAsyncContextManager[RecordingClient]]
"""Starts one more server, with an environment and a role, for a scenario that has the parameter `start`."""

NEEDS_A_MOMENT = (
    "answer_before_commit",
    "skip_reads_before_its_update",
    "an_adopting_server_claims_others",
    "testers_claim_what_they_never_reported",
    "questions_hold_nothing",
    "answers_free_nothing",
    "a_kept_report_does_not_block",
)
"""Bugs that appear only if a death, or two calls, happen at the same moment, or in servers or calls that are not random.

The last makes a counter negative at the next pass, which the database refuses.
"""


async def late_pass(one: RecordingClient) -> None:
    """A token is used after its claim has ended and another has begun."""
    old = (await one.call("feature_mark_in_progress", feature_id=1))["token"]
    await one.call("feature_clear_in_progress", feature_id=1, claim_token=old)
    await one.call("feature_mark_in_progress", feature_id=1)
    await one.ask("feature_mark_passing", feature_id=1, claim_token=old)


async def early_claim(one: RecordingClient) -> None:
    """A feature is claimed although it depends on another."""
    await one.ask("feature_mark_in_progress", feature_id=2)


async def pass_and_resume(one: RecordingClient) -> None:
    """A passing feature is resumed as if it were claimed."""
    token = (await one.call("feature_mark_in_progress", feature_id=1, agent="ada"))["token"]
    await one.call("feature_mark_passing", feature_id=1, claim_token=token)
    await one.ask("feature_claim_and_get", feature_id=1, agent="ada", resume=True)


async def die_after_passing(one: RecordingClient, other: RecordingClient) -> None:
    """A server is killed as soon as it has acknowledged a pass, and another client asks for that feature."""
    token = (await one.call("feature_mark_in_progress", feature_id=1))["token"]
    await one.call("feature_mark_passing", feature_id=1, claim_token=token)
    one.kill()
    await other.ask("feature_mark_in_progress", feature_id=1)


async def claim_another(one: RecordingClient, other: RecordingClient) -> None:
    """A client claims one feature while another client works on a second feature."""
    token = (await one.call("feature_mark_in_progress", feature_id=1))["token"]
    await other.call("feature_mark_in_progress", feature_id=3)
    await one.ask("feature_mark_passing", feature_id=1, claim_token=token)


async def claim_the_same(one: RecordingClient, other: RecordingClient) -> None:
    """Two clients ask for the next feature."""
    await one.call("feature_claim_and_get")
    await other.call("feature_claim_and_get")


async def skip_two(one: RecordingClient) -> None:
    """Two features are skipped at the same time."""
    await asyncio.gather(
        one.call("feature_skip", feature_id=1, reason="later"),
        one.call("feature_skip", feature_id=3, reason="later"),
    )


async def break_under_a_claim(one: RecordingClient) -> None:
    """A dependency breaks while a feature is claimed, and its holder sends a heartbeat."""
    base = (await one.call("feature_mark_in_progress", feature_id=1))["token"]
    await one.call("feature_mark_passing", feature_id=1, claim_token=base)
    mine = (await one.call("feature_mark_in_progress", feature_id=2))["token"]
    await one.call("feature_mark_failing", feature_id=1, reason="it broke")
    await one.call("feature_heartbeat", feature_id=2, claim_token=mine)


async def claim_again(one: RecordingClient) -> None:
    """The holder of a claim asks for it twice."""
    await one.call("feature_claim_and_get", feature_id=1, agent="ada")
    await one.ask("feature_claim_and_get", feature_id=1, agent="ada")


async def adopt_and_claim(one: RecordingClient, *, start: StartServer) -> None:
    """A server that was started for one claim is asked for that, for another, and for its end."""
    token = (await one.call("feature_mark_in_progress", feature_id=1))["token"]
    async with start("adopter", {"DIBS_CLAIM": token}) as adopter:
        await adopter.ask("feature_claim_and_get")
        await adopter.ask("feature_claim_and_get", feature_id=3)
        await adopter.ask("feature_mark_passing", feature_id=1)


async def go_on_after_failing(one: RecordingClient, *, start: StartServer) -> None:
    """A token goes on after the end of its connection, and once more after its claim has failed."""
    async with start("before") as before:
        token = (await before.call("feature_mark_in_progress", feature_id=1))["token"]
        before.hang_up()
        await before.client.process.wait()
    await one.ask("feature_mark_failing", feature_id=1, claim_token=token, reason="it breaks")
    await one.ask("feature_mark_passing", feature_id=1, claim_token=token)


async def mend_as_a_tester(one: RecordingClient, *, start: StartServer) -> None:
    """A tester claims what it has reported, and what it has not."""
    token = (await one.call("feature_mark_in_progress", feature_id=1))["token"]
    await one.call("feature_mark_passing", feature_id=1, claim_token=token)
    async with start("tester", role="tester") as tester:
        await tester.ask("feature_mark_failing", feature_id=1, reason="it broke")
        await tester.ask("feature_claim_and_get", feature_id=1)
        await tester.ask("feature_claim_and_get", feature_id=3)


async def report_and_keep(one: RecordingClient, other: RecordingClient) -> None:
    """A reporter keeps a broken feature, and another client asks for one that depends on it."""
    token = (await one.call("feature_mark_in_progress", feature_id=1))["token"]
    await one.call("feature_mark_passing", feature_id=1, claim_token=token)
    await one.ask("feature_mark_failing", feature_id=1, reason="it broke", keep=True)
    await other.ask("feature_mark_in_progress", feature_id=2)


async def ask_about_a_feature(one: RecordingClient, other: RecordingClient) -> None:
    """A client asks for a feature while its question is open, and when that has been answered."""
    asked = await one.call("ask_user", questions=QUESTION, feature_ids=[1])
    await other.ask("feature_mark_in_progress", feature_id=1)
    await one.call("feature_answer_human_input", question_id=asked["question_id"], answers={"Way": "Left"})
    await other.ask("feature_mark_in_progress", feature_id=1)


async def lift_a_back_off(one: RecordingClient) -> None:
    """A failed feature is refused until a planner retries it."""
    token = (await one.call("feature_mark_in_progress", feature_id=1))["token"]
    await one.call("feature_mark_failing", feature_id=1, claim_token=token, reason="it breaks")
    await one.ask("feature_mark_in_progress", feature_id=1)
    await one.ask("feature_update", feature_id=1, retry=True)
    await one.ask("feature_mark_in_progress", feature_id=1)


async def break_what_was_built_on(one: RecordingClient) -> None:
    """A feature is reported as broken after another has passed that depends on it."""
    for feature in (1, 2):
        token = (await one.call("feature_mark_in_progress", feature_id=feature))["token"]
        await one.call("feature_mark_passing", feature_id=feature, claim_token=token)
    await one.call("feature_mark_failing", feature_id=1, reason="it broke")


SCENARIOS = [
    ("no_token_check", late_pass, "late_token", 1),
    ("no_dependency_guard", early_claim, "dependency", 2),
    ("answer_before_commit", die_after_passing, "no_order", 1),
    ("answer_without_commit", pass_and_resume, "change_lost", 1),
    ("reaper_without_lease_guard", claim_another, "live_claim_lost", 1),
    ("reaper_without_lease_guard", claim_the_same, "two_holders", 1),
    ("skip_reads_before_its_update", skip_two, "skip_order", 3),
    ("holders_do_not_hear", break_under_a_claim, "dependency", 2),
    ("a_repeated_claim_is_an_attempt", claim_again, "no_order", 1),
    ("an_adopting_server_claims_others", adopt_and_claim, "adopted_other", 3),
    ("an_old_token_regains_any_claim", go_on_after_failing, "late_token", 1),
    ("testers_claim_what_they_never_reported", mend_as_a_tester, "unreported", 3),
    ("a_kept_report_does_not_block", report_and_keep, "dependency", 2),
    ("questions_hold_nothing", ask_about_a_feature, "dependency", 1),
    ("answers_free_nothing", ask_about_a_feature, "dependency", 1),
    ("a_retry_keeps_the_back_off", lift_a_back_off, "no_order", 1),
]
"""For each bug the calls that show it, the violation that the checker finds, and its feature."""


@pytest.mark.only_on("sqlite", reason="the checker judges answers, which are the same on both engines")
@pytest.mark.parametrize(("bug", "scenario", "kind", "feature"), SCENARIOS)
def test_a_planted_bug_is_found(
    database: Database, db: str, tmp_path: Path, bug: str, scenario: Scenario, kind: str, feature: int
) -> None:
    """The checker finds each planted bug from the answers of a server."""
    fill(database, 3, [[], [0], []])
    history = asyncio.run(played(database, buggy_server(bug), db, tmp_path, scenario))
    found = check(history)
    print(*found, sep="\n")
    assert [one.kind for one in found] == [kind]
    assert found[0].feature in (feature, 1)
    assert 1 <= len(found[0].calls) <= 4


@pytest.mark.parametrize("scenario", [*dict.fromkeys(one[1] for one in SCENARIOS), break_what_was_built_on])
def test_nothing_is_found_without_a_bug(database: Database, db: str, tmp_path: Path, scenario: Scenario) -> None:
    """The same calls of correct servers break no rule, and leave a sound backlog."""
    fill(database, 3, [[], [0], []])
    history = asyncio.run(played(database, server_command(), db, tmp_path, scenario))
    assert check(history) == []
    assert_sound(database)


def test_the_audit_finds_what_no_answer_shows(database: Database, db: str, tmp_path: Path) -> None:
    """A passing feature that is not marked for a recheck is unsound."""
    fill(database, 3, [[], [0], []])
    asyncio.run(played(database, buggy_server("nothing_is_rechecked"), db, tmp_path, break_what_was_built_on))
    (unsound,) = database.read_now(audit).unsound
    assert "feature 2" in unsound
    assert "recheck" in unsound


async def played(database: Database, serve: Sequence[str], db: str, folder: Path, scenario: Scenario) -> History:
    """Let clients of servers of a command play a scenario, and read the history of their answers."""
    database.read_now(read_initial_history).write(folder / "beginning.jsonl")
    path = folder / "calls.jsonl"

    def start(
        name: str, environment: Mapping[str, str] | None = None, role: str | None = None
    ) -> AbstractAsyncContextManager[RecordingClient]:
        flags = ["--db", db, *(["--role", role] if role else [])]
        return RecordingClient.start([*serve, *flags], path, name, environment, role=role)

    async with AsyncExitStack() as stack:
        code = scenario.__code__
        starts = [start(f"client-{number}") for number in range(code.co_argcount)]
        recorders = [await stack.enter_async_context(one) for one in starts]
        await scenario(*recorders, **({"start": start} if code.co_kwonlyargcount else {}))
    return History.read([folder / "beginning.jsonl", path])


@pytest.mark.skipif(not LONG, reason="the scenarios above are played instead; with DIBS_TEST_LONG=1 this is too")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", [one for one in sorted(IN_HISTORIES) if one not in NEEDS_A_MOMENT])
def test_a_planted_bug_is_found_by_chance(
    database: Database, db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bug: str
) -> None:
    """A few random runs of some seconds are enough to find a bug that does not need a certain moment."""
    monkeypatch.setenv("DIBS_TEST_BUG", bug)
    prepare(database)
    found: list[Violation] = []
    for number in range(8):
        folder = tmp_path / f"run {number}"
        folder.mkdir()
        found += check(recorded(database, db, folder, rounds=1))
        if found:
            break
    print(f"found in run {number + 1}", *found, sep="\n")
    assert found


def test_every_bug_is_played() -> None:
    """No planted bug is left without a scenario."""
    assert {case[0] for case in SCENARIOS} == IN_HISTORIES
