"""How an agent ends a claim: passed with evidence, failed or skipped with a reason, or asked."""

from __future__ import annotations

from typing import Any

from dibs_proof.checks.observations import Holding
from dibs_proof.demo.caller import Caller
from dibs_proof.demo.plan import Fate
from dibs_proof.demo.scene import Seat
from dibs_proof.demo.stage import Stage
from dibs_schema.status import Kind, Status

EVIDENCE = {
    "summary": "Built and tested (pretended by dibs demo).",
    "commands": [{"command": "make test", "exit_code": 0}],
}
QUESTION: dict[str, Any] = {
    "prompt": "Which way should this be built?",
    "fields": [
        {"id": "way", "label": "Way", "type": "select", "options": ["the simple one", "the fast one"]},
        {"id": "why", "label": "Why", "type": "text", "required": False},
    ],
}


async def report(stage: Stage, seat: Seat, caller: Caller, holding: Holding, fate: Fate) -> None:
    """Make the move that `fate` asks for. Raises ClaimLost where the lease had run out."""
    if fate is Fate.PASS:
        await caller.end(Kind.PASS, "feature_mark_passing", holding, evidence=EVIDENCE)
        seat.passed += 1
    elif fate is Fate.FAIL:
        reason = "Two of its tests fail (pretended by dibs demo)."
        done = await caller.end(Kind.FAIL, "feature_mark_failing", holding, reason=reason)
        if done["status"] == Status.STUCK:
            stage.say_first(
                "stuck", f"{holding} failed {done['failures']} times: it is stuck until a person looks."
            )
        else:
            stage.say_first("fail", f"{seat.name} fails at {holding}: it rests, then goes back to the queue.")
    elif fate is Fate.SKIP:
        reason = "Its service is not there yet (pretended by dibs demo)."
        await caller.end(Kind.SKIP, "feature_skip", holding, reason=reason)
        stage.say_first("skip", f"{seat.name} skips {holding}: it goes to the end of the queue.")
    else:
        await caller.end(Kind.ASK, "feature_request_human_input", holding, **QUESTION)
        stage.say_first("ask", f"{seat.name} asks a person about {holding}, and takes another one meanwhile.")
