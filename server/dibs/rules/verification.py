"""The command that a project requires to succeed before a claimed feature passes.

The pass asks for it by raising VerificationNeeded, so that nothing is read for it where the project has no command. The
command runs outside any transaction. The pass that follows it is a compare and swap: the same claim of the same feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from dibs.database.compiled import hot
from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, held, this
from dibs.rules.diagnosis import refuse_transition
from dibs.rules.truncate import truncate
from dibs_schema.answers import Verification
from dibs_schema.next_step import NEXT_FEATURE, Step
from dibs_schema.refusals import NotVerified

COMMAND_ROOM = 200

_claimed = hot(select(F.updated_at, F.unmet_dependencies).where(this(), held()))


@dataclass(frozen=True, slots=True)
class VerifyOrder:
    """What to run for which claim, and the version of the feature. `generation` is the project's generation."""

    feature: int
    token: str
    command: str
    seconds: int
    generation: str
    updated_at: float


@dataclass(frozen=True, slots=True)
class Verified:
    """An order that was carried out with success, and what it proved."""

    order: VerifyOrder
    proof: Verification


class VerificationNeeded(Exception):  # noqa: N818 - it asks for something, and reports no error
    """The pass needs a Verified; the transaction is rolled back."""


def order_of(tx: Transaction, feature: int, token: str) -> VerifyOrder | None:
    """Return what must run before this claim's pass, or None without a command. Raises the refusals of a pass."""
    settings = tx.project.settings
    if not settings.verify_command:
        return None
    row = tx.first(_claimed, feature=feature, token=token)
    if row is None or row["unmet_dependencies"]:
        refuse_transition(tx, feature, token)
    return VerifyOrder(
        *(feature, token, settings.verify_command, settings.verify_seconds, tx.project.generation, row["updated_at"])
    )


def refuse_changed(order: VerifyOrder) -> NotVerified:
    """Return the refusal of a pass whose feature, claim or command is no longer what the command was run for."""
    return NotVerified(
        f"Feature {order.feature}, its claim or verify_command was changed while the command ran, and what it proved may no "
        "longer hold. Nothing was changed.",
        next=[
            Step("feature_get_by_id", {"feature_id": order.feature}, "to see what is true now"),
            Step("feature_mark_passing", {"feature_id": order.feature}, "to run it again"),
        ],
        id=order.feature,
        cause="changed",
    )


def refuse_overtaken(feature: int) -> NotVerified:
    """Return the refusal of a pass that another call with the same claim has made while the command ran."""
    return NotVerified(
        f"Another call with this claim passed feature {feature} while the command ran; this call changed nothing.",
        next=[NEXT_FEATURE],
        id=feature,
        cause="changed",
    )


def stored(proof: Verification) -> dict[str, Any]:
    """Return a verification as it is stored in evidence, without the output."""
    return proof.model_copy(update={"output": None}).model_dump(exclude_defaults=True)


def with_verification(evidence: dict[str, Any] | None, proof: Any) -> dict[str, Any] | None:
    """Return evidence with a stored verification, if there is one."""
    return (evidence or {}) | {"verification": proof} if proof else evidence


def shown(evidence: dict[str, Any] | None) -> tuple[dict[str, Any] | None, Verification | None]:
    """Return what an agent gave as evidence, and the verification."""
    given = {name: value for name, value in (evidence or {}).items() if name != "verification"}
    proof = (evidence or {}).get("verification")
    if proof is None:
        return given or None, None
    return given or None, Verification(**proof | {"command": truncate(proof.get("command"), COMMAND_ROOM)})


def verification_line(proof: Verification) -> str:
    """Return what a verification proved as one line, for the event."""
    return f"verified in {proof.seconds:g} s" + (f" on tree {proof.tree[:12]}" if proof.tree else "")
