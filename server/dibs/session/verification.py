"""Run a project's verify command before a pass: outside any transaction, in the caller's folder, with a time limit."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from dibs.git_tree import git_tree, unbound_environment
from dibs.platform.command_group import CommandGroup, command_group
from dibs.rules.diagnosis import refuse_transition
from dibs.rules.pass_requirements import require_evidence_of
from dibs.rules.verification import VerificationNeeded, Verified, VerifyOrder, order_of
from dibs.session.allowed_commands import AllowedCommands
from dibs.verbs import lease
from dibs_schema.answers import Acknowledgement, Verification
from dibs_schema.next_step import Step
from dibs_schema.refusals import NotVerified
from dibs_schema.sanitize import clean
from dibs_schema.status import Kind

if TYPE_CHECKING:
    from dibs.database.transaction import Transaction
    from dibs.session.caller import CallContext
    from dibs.session.session import Session
    from dibs_schema.evidence import EvidenceFields

PROGRESS = 5.0
"""Seconds between two progress reports; with each, the lease starts again."""
LOOK = 0.25
"""Seconds after which a client that has gone is noticed."""
GIT_SECONDS = 30.0
OUTPUT_BYTES, FAILURE_OUTPUT, OUTPUT = 16_384, 2_000, 300
"""Bytes of output that are kept, and characters of its end in a refusal and in an acknowledgement."""


class Stopped(Enum):
    """Why a command was ended before its own end."""

    TOO_LONG = auto()
    CLIENT_GONE = auto()


Attempt = Callable[[Verified | None], Awaitable[Acknowledgement]]
"""A pass, with what was verified for it."""


async def pass_verified(
    session: Session,
    context: CallContext,
    feature: int,
    token: str | None,
    evidence: EvidenceFields | None,
    attempt: Attempt,
) -> Acknowledgement:
    """Pass a feature by `attempt`. If the project has a verify command, it must succeed first, or have done so.

    Raises NotVerified, and the refusals of a pass.
    """
    try:
        return await attempt(None)
    except VerificationNeeded:
        pass
    verified = session.verified.pop(feature, None) or await verify(session, context, feature, token, evidence)
    if verified is None:
        raise _changed(feature)
    return await attempt(verified)


async def verify(
    session: Session, context: CallContext, feature: int, token: str | None, evidence: EvidenceFields | None
) -> Verified | None:
    """Run the project's verify command for a claim. Returns what it proves, or None without a command.

    Raises NotVerified, InvalidInput if the evidence does not suffice for a pass, and the refusals of a pass.
    """
    order = await _order(session, feature, token, evidence)
    if order is None:
        return None
    folder = _folder(session, context, order)
    if (since := session.verifying.get(order.token)) is not None:
        raise NotVerified(
            f"verify_command already runs for this claim of feature {feature}, since {time.monotonic() - since:.0f} s.",
            next=[Step("feature_get_by_id", {"feature_id": feature}, "to see when it is done")],
            id=feature,
            cause="changed",
        )
    session.verifying[order.token] = time.monotonic()
    try:
        return Verified(order, await _run(session, context, order, folder))
    finally:
        del session.verifying[order.token]


async def _order(
    session: Session, feature: int, token: str | None, evidence: EvidenceFields | None
) -> VerifyOrder | None:
    """Return what to run, or None without a command.

    The claim's lease starts again, and the claim is taken back if its connection had ended.
    """

    def begin(tx: Transaction, _: str, proven: str | None) -> VerifyOrder | None:
        if proven is None:
            refuse_transition(tx, feature, None)
        lease.heartbeat(tx, feature, proven)
        settings = tx.project.settings
        require_evidence_of(settings.require_evidence, feature, evidence, runs_command=settings.verify_command != "")
        return order_of(tx, feature, proven)

    return await session.transition(feature, token, Kind.HEARTBEAT, begin)


def _changed(feature: int) -> NotVerified:
    return NotVerified(
        "verify_command was changed a moment ago. Nothing was changed by this call.",
        next=[Step("feature_mark_passing", {"feature_id": feature}, "once more")],
        id=feature,
        cause="changed",
    )


def _folder(session: Session, context: CallContext, order: VerifyOrder) -> Path:
    """Return the caller's folder. Raises NotVerified if it is not known, or if the command is not allowed here."""
    if not context.has_folder:
        raise NotVerified(
            f"This project runs verify_command before a pass, and over HTTP the server does not know your folder. Run "
            f"`dibs pass {order.feature} --token …` in it, against the same database.",
            id=order.feature,
            cause="cannot_run",
        )
    if not AllowedCommands.of_user().allows(order.generation, order.command):
        raise NotVerified(
            f"This project runs `{order.command[:200]}` before a pass, and nobody has allowed that on this machine. Your "
            "claim is kept. A person runs `dibs settings verify_command --allow` here.",
            next=[Step("feature_mark_passing", {"feature_id": order.feature}, "after that")],
            id=order.feature,
            cause="cannot_run",
        )
    return context.folder or session.settings.folder


async def _run(session: Session, context: CallContext, order: VerifyOrder, folder: Path) -> Verification:
    """Run the command and return what it proves. Raises NotVerified if it does not succeed within its time."""
    before = await anyio.to_thread.run_sync(git_tree, folder, GIT_SECONDS)
    began = time.monotonic()
    try:
        async with command_group(order.command, folder, _environment(), OUTPUT_BYTES) as running:
            status = await _wait(session, context, order, running, began)
            seconds = round(time.monotonic() - began, 1)
    except OSError as error:
        raise NotVerified(
            f"`{order.command[:200]}` could not be started in {folder}: {error.strerror}. Your claim is kept.",
            id=order.feature,
            cause="cannot_run",
        ) from error
    output = clean(running.output).strip()
    if status != 0:
        raise _failed(order, folder, status, seconds, output)
    after = await anyio.to_thread.run_sync(git_tree, folder, GIT_SECONDS)
    return Verification(
        command=order.command,
        exit_code=0,
        seconds=seconds,
        tree=after if after == before else None,
        tree_changed=after != before,
        output=output[-OUTPUT:] or None,
    )


def _environment() -> dict[str, str]:
    """Return what the command inherits: not the agent's claim, with which tests of a backlog would act for it."""
    return {name: value for name, value in unbound_environment().items() if name not in ("DIBS_CLAIM", "DIBS_TOKEN")}


async def _wait(
    session: Session, context: CallContext, order: VerifyOrder, running: CommandGroup, began: float
) -> int | Stopped:
    """Return the exit status, or why the command was stopped. Keeps the claim alive, and reports progress."""
    ended: list[int] = []
    over = anyio.Event()

    async def wait() -> None:
        ended.append(await running.wait())
        over.set()

    stopped = Stopped.TOO_LONG
    async with anyio.create_task_group() as waiting:
        waiting.start_soon(wait)
        reported = -PROGRESS
        while not over.is_set() and (passed := time.monotonic() - began) < order.seconds:
            if session.closing.is_set() or await context.is_abandoned():
                stopped = Stopped.CLIENT_GONE
                break
            if passed - reported >= PROGRESS:
                reported = passed
                await context.report_verifying(passed, order.seconds)
                session.claims.touch(order.feature)
                await session.prove_alive(order.token)
            with anyio.move_on_after(min(LOOK, order.seconds - passed)):
                await over.wait()
        waiting.cancel_scope.cancel()
    return ended[0] if ended else stopped


def _failed(order: VerifyOrder, folder: Path, status: int | Stopped, seconds: float, output: str) -> NotVerified:
    feature, code = order.feature, None if isinstance(status, Stopped) else status
    match status:
        case Stopped.CLIENT_GONE:
            how = f"was ended after {seconds:g} s, since the client had gone,"
        case Stopped.TOO_LONG:
            how = f"took over {seconds:g} s (verify_seconds) and was ended"
        case _:
            how = f"ended with exit status {status} after {seconds:g} s"
    return NotVerified(
        f"`{order.command[:200]}` {how} in {folder}. Feature {feature} is not passing, and your claim is kept. "
        "`output` is the end of what it printed.",
        next=[
            Step("feature_mark_passing", {"feature_id": feature}, "when that is mended"),
            Step("feature_mark_failing", {"feature_id": feature}, "if you cannot mend it", needs=("reason",)),
        ],
        id=feature,
        cause="failed",
        exit_code=code,
        seconds=seconds,
        output=output[-FAILURE_OUTPUT:] or None,
    )
