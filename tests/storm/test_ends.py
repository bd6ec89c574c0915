"""A storm ends servers, and notices a wrong end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from dibs_proof.recording_client import RecordingClient
from dibs_proof.storm.agent import ServerEnd, end
from dibs_proof.storm.plan import Plan

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.only_on("sqlite", reason="a process ends in the same way, whatever database it serves"),
]


@pytest.mark.parametrize(
    ("how", "before", "wrong"),
    [
        (ServerEnd.KILLED, None, False),
        (ServerEnd.KILLED, signal.SIGSEGV, True),
        (ServerEnd.KILLED_IN_A_CALL, signal.SIGTERM, True),
        (ServerEnd.TERMINAL_CLOSED, None, False),
        (ServerEnd.CLOSED, None, False),
        (ServerEnd.CLOSED, signal.SIGSEGV, True),
    ],
)
async def test_a_server_that_ended_by_itself_is_not_mistaken_for_one_that_was_ended(
    db: str, tmp_path: Path, how: ServerEnd, before: signal.Signals | None, wrong: bool
) -> None:
    """The exit status is the signal's after a kill, and 0 after every other end."""
    plan = Plan(db, "default", 1, 2, 3, 1)
    async with RecordingClient.start(plan.command(), tmp_path / "history.jsonl", "ada") as recorder:
        if before is not None:
            os.kill(recorder.client.process.pid, before)
            await recorder.client.process.wait()
        assert (await end(recorder, how) is not None) is wrong
