"""What must hold of this play."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dibs_proof.checks.invariants import Finding
from dibs_proof.checks.observations import Holding
from dibs_proof.demo.records import LateCall
from dibs_schema.refusals import ClaimLost
from dibs_schema.status import Status


def all_done(imported: Mapping[int, str], final: Mapping[int, str]) -> Finding:
    """Every feature ends passing, or archived where it was imported so, and none has gone."""
    found = Finding("all_done", "Every feature ends passing", len(imported), "features")
    for feature, before in imported.items():
        wanted = Status.ARCHIVED if before == Status.ARCHIVED else Status.PASSING
        if final.get(feature) != wanted:
            found.broken.append(f"feature {feature} is {final.get(feature, 'gone')}")
    return found


def taken_over_in_time(victim: Holding | None, taker: Holding | None, lease: float) -> Finding:
    """What the dead agent held went to another agent, and not before its lease had run out."""
    found = Finding("take_over", "The dead agent's work was taken over, after its lease", unit="take-over")
    if victim is None:
        return found
    found.checked = 1
    if taker is None:
        found.broken.append(f"feature {victim.feature} of {victim.agent} was not taken over")
    elif taker.agent == victim.agent:
        found.broken.append(f"{victim.agent} got its own feature {victim.feature} again")
    elif taker.given_at < victim.asked_at + lease:
        early = victim.asked_at + lease - taker.given_at
        found.broken.append(
            f"{taker.agent} got feature {victim.feature} {early:.2f} s before the lease ran out"
        )
    return found


def dead_token_refused(late: Sequence[LateCall], *, expected: int) -> Finding:
    """Each of the `expected` calls with the dead agent's token got claim_lost, and left the row as it was."""
    found = Finding("dead_token", "Its old token was refused, and changed nothing", len(late), "late calls")
    if len(late) != expected:
        found.broken.append(f"{len(late)} of {expected} late calls were made")
    for call in late:
        if call.code != ClaimLost.code:
            found.broken.append(f"{call.tool} was answered with {call.code or 'an acknowledgement'}")
        changed = sorted(
            name for name in call.before | call.after if call.before.get(name) != call.after.get(name)
        )
        if changed:
            found.broken.append(f"{call.tool} changed {', '.join(changed)}")
    return found
