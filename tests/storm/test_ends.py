"""How a storm ends a server, and what it notices of it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from dibs_proof.history.recorder import Recorder
from dibs_proof.server_faults import send_signal
from dibs_proof.storm.plan import Plan
from dibs_proof.storm.terminations import End, end

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.only_on("sqlite", reason="a process ends in the same way, whatever database it serves"),
]


@pytest.mark.parametrize(
    ("how", "before", "wrong"),
    [
        (End.KILLED, None, False),
        (End.KILLED, signal.SIGSEGV, True),
        (End.STRUCK, signal.SIGTERM, True),
        (End.CLOSED, None, False),
        (End.CLOSED, signal.SIGSEGV, True),
    ],
)
async def test_a_server_that_ended_by_itself_does_not_pass_for_one_that_was_ended(
    db: str, tmp_path: Path, how: End, before: signal.Signals | None, wrong: bool
) -> None:
    """Its status tells: of a kill it is the signal's, of every other end it is 0."""
    plan = Plan(db, "default", 1, 2, 3, 1)
    async with Recorder.start(plan.command(), tmp_path / "history.jsonl", "ada") as recorder:
        if before is not None:
            send_signal(recorder.client, before)
            await recorder.client.process.wait()
        assert (await end(recorder, how) is not None) is wrong
