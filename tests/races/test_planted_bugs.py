"""The history checker finds mistakes that are planted into a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from dibs.database import Database
from dibs_proof.history.check import check
from dibs_proof.history.history import History
from dibs_proof.history.initial_state import beginning
from dibs_proof.history.recorder import Recorder
from dibs_proof.history.violations import Violation
from races.backlog import LONG, fill
from races.planted import MISTAKES, planted_command
from races.test_history import play, prepare

Scene = Callable[..., Awaitable[None]]
"""What clients do, each with a server of its own."""

NEEDS_AN_INSTANT = ("answer_before_commit", "skip_reads_before_its_update")
"""Mistakes that show where a death, or two calls, fall into the same moment."""


async def late_pass(one: Recorder) -> None:
    """A token is used after its claim has ended and another has begun."""
    old = (await one.call("feature_mark_in_progress", feature_id=1))["token"]
    await one.call("feature_clear_in_progress", feature_id=1, claim_token=old)
    await one.call("feature_mark_in_progress", feature_id=1)
    await one.ask("feature_mark_passing", feature_id=1, claim_token=old)


async def early_claim(one: Recorder) -> None:
    """A feature is claimed that waits for another."""
    await one.ask("feature_mark_in_progress", feature_id=2)


async def pass_and_clear(one: Recorder) -> None:
    """What has been passed is freed as if it were claimed."""
    token = (await one.call("feature_mark_in_progress", feature_id=1))["token"]
    await one.call("feature_mark_passing", feature_id=1, claim_token=token)
    await one.ask("feature_clear_in_progress", feature_id=1, force=True)


async def die_after_passing(one: Recorder, other: Recorder) -> None:
    """A server is killed as soon as it has said that a feature passes, and somebody else asks for that feature."""
    token = (await one.call("feature_mark_in_progress", feature_id=1))["token"]
    await one.call("feature_mark_passing", feature_id=1, claim_token=token)
    one.kill()
    await other.ask("feature_mark_in_progress", feature_id=1)


async def claim_beside(one: Recorder, other: Recorder) -> None:
    """Somebody claims a feature while another is at work on his."""
    token = (await one.call("feature_mark_in_progress", feature_id=1))["token"]
    await other.call("feature_mark_in_progress", feature_id=3)
    await one.ask("feature_mark_passing", feature_id=1, claim_token=token)


async def claim_the_same(one: Recorder, other: Recorder) -> None:
    """Two ask for the next feature."""
    await one.call("feature_claim_and_get")
    await other.call("feature_claim_and_get")


async def skip_two(one: Recorder) -> None:
    """Two features are skipped at the same time."""
    await asyncio.gather(
        one.call("feature_skip", feature_id=1, reason="later"),
        one.call("feature_skip", feature_id=3, reason="later"),
    )


@pytest.mark.parametrize(
    ("mistake", "scene", "kind", "feature"),
    [
        ("no_token_check", late_pass, "late_token", 1),
        ("no_dependency_guard", early_claim, "dependency", 2),
        ("answer_before_commit", die_after_passing, "no_order", 1),
        ("answer_without_commit", pass_and_clear, "change_lost", 1),
        ("reaper_without_lease_guard", claim_beside, "live_claim_lost", 1),
        ("reaper_without_lease_guard", claim_the_same, "two_holders", 1),
        ("skip_reads_before_its_update", skip_two, "skip_order", 3),
    ],
)
def test_a_planted_mistake_is_found(
    database: Database, db: str, tmp_path: Path, mistake: str, scene: Scene, kind: str, feature: int
) -> None:
    """From what clients of a server with that mistake are told, the checker names what was broken."""
    fill(database, 3, [[], [0], []])
    history = asyncio.run(played(database, db, tmp_path, mistake, scene))
    found = check(history)
    print(*found, sep="\n")
    assert [one.kind for one in found] == [kind]
    assert found[0].feature in (feature, 1)
    assert 1 <= len(found[0].calls) <= 4


async def played(database: Database, db: str, folder: Path, mistake: str, scene: Scene) -> History:
    """Let clients of servers with that mistake play a scene, and read what they were told."""
    database.read_now(beginning).write(folder / "beginning.jsonl")
    command = planted_command(mistake, "--db", db)
    path = folder / "calls.jsonl"
    async with AsyncExitStack() as stack:
        clients = scene.__code__.co_argcount
        starts = [Recorder.start(command, path, f"client-{number}") for number in range(clients)]
        recorders = [await stack.enter_async_context(start) for start in starts]
        await scene(*recorders)
    return History.read([folder / "beginning.jsonl", path])


@pytest.mark.skipif(not LONG, reason="the scenes above are played instead; with DIBS_TEST_LONG=1 this is too")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mistake", [one for one in MISTAKES if one not in NEEDS_AN_INSTANT])
def test_a_planted_mistake_is_found_by_chance(
    database: Database, db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    """A few random runs of some seconds are enough to find a mistake that does not need an instant."""
    monkeypatch.setenv("DIBS_TEST_MISTAKE", mistake)
    prepare(database)
    found: list[Violation] = []
    for number in range(8):
        folder = tmp_path / f"run {number}"
        folder.mkdir()
        found += check(play(database, db, folder, rounds=1))
        if found:
            break
    print(f"found in run {number + 1}", *found, sep="\n")
    assert found


def test_every_mistake_is_played() -> None:
    """No planted mistake is left without a scene."""
    marks = test_a_planted_mistake_is_found.pytestmark  # type: ignore[attr-defined]  # set by pytest
    assert {case[0] for case in marks[0].args[1]} == set(MISTAKES)
