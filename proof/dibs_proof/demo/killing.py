"""The accident on the stage: the kill, the take-over, and the dead agent's return."""

from __future__ import annotations

import signal
from typing import Any

import anyio

from dibs_proof.checks.journal import read_row
from dibs_proof.checks.observations import Holding
from dibs_proof.demo.caller import Caller
from dibs_proof.demo.outcome import EVIDENCE
from dibs_proof.demo.records import LateCall
from dibs_proof.demo.scene import Doing, Seat, Tone
from dibs_proof.demo.stage import Stage
from dibs_proof.server_faults import send_signal

PATIENCE = 30.0
"""Seconds for which whoever took over waits to see the dead agent refused."""

LATE_CALLS: dict[str, dict[str, Any]] = {
    "feature_mark_passing": {"evidence": EVIDENCE},
    "feature_mark_failing": {"reason": "Too late (pretended by dibs demo)."},
    "feature_skip": {"reason": "Too late (pretended by dibs demo)."},
}
"""What an agent tries that does not know that it was dead."""


async def kill(stage: Stage, seat: Seat, caller: Caller, holding: Holding) -> None:
    """Kill the server of an agent that holds a claim; SIGKILL leaves it no time to give anything back."""
    stage.accident.strike(holding, stage.plan.lease)
    send_signal(caller.client, signal.SIGKILL)
    await caller.client.process.wait()
    seat.is_at(Doing.DEAD, holding)
    stage.say(
        f"KILLED      {seat.name}'s server (pid {seat.pid}) dies by SIGKILL while it holds {holding}. "
        f"Nobody gets that one until the lease of {stage.plan.lease:g} s has run out.",
        Tone.BAD,
    )


async def show_take_over(stage: Stage, holding: Holding) -> None:
    """Tell that the dead agent's feature has a new holder, who keeps it until the dead one has been refused."""
    after = holding.given_at - stage.accident.killed_at
    stage.say(
        f"TAKEN OVER  {holding.agent} gets {holding}, {after:.1f} s after the kill, and goes on with it.",
        Tone.GOOD,
    )
    stage.accident.taken_over.set()
    with anyio.move_on_after(PATIENCE):
        await stage.accident.told.wait()


async def come_back(stage: Stage, seat: Seat, caller: Caller, lost: Holding) -> None:
    """Try to hand in what was lost, once another has it, in every way there is."""
    seat.is_at(Doing.BACK, lost)
    await stage.accident.taken_over.wait()
    for tool, words in LATE_CALLS.items():
        before = await stage.database.read(lambda tx: read_row(tx, lost.feature))
        code = await caller.refused(tool, lost, **words)
        after = await stage.database.read(lambda tx: read_row(tx, lost.feature))
        stage.accident.late.append(LateCall(tool, code, before, after))
    told = " and ".join(sorted({call.code or "yes" for call in stage.accident.late}))
    stage.say(
        f"REFUSED     {seat.name}, alive again, tries to pass, fail and skip {lost} with its old token, "
        f"and is told {told}.",
        Tone.GOOD,
    )
    stage.accident.told.set()
