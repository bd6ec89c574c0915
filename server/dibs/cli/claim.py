"""`dibs claim`: prints the claim, or takes it back if the answer cannot be delivered."""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import click
from pydantic import Field

from dibs.cli.operation_command import Convenience, Given, Invocation, checked_as, print_answer
from dibs.cli.options import NOTHING_FOR_AGENTS, NOTHING_LEFT, NOTHING_READY, flush
from dibs.cli.shell_wording import SHELL
from dibs.database import WriteJob
from dibs.platform.signals import ENDING, received
from dibs.session.caller import CallContext
from dibs.session.issued_tokens import ClaimMemory
from dibs.session.token_files import TerminalTokens
from dibs_schema.answers import Acknowledgement, Answer, Claimed, Idle
from dibs_schema.inputs import WHOLE
from dibs_schema.operations import BY_TOOL, AnyOperation
from dibs_schema.refusals import InvalidInput, OutcomeUnknown, Refusal

if TYPE_CHECKING:
    from dibs.session.claim_job import ClaimingJob

LongWait = Annotated[float, Field(ge=0, le=86_400), WHOLE]


class ShellCall(CallContext):
    """The call context of a claim from a shell, which may wait for up to a day."""

    job: ClaimingJob[Any] | None = None

    def claiming(self, job: WriteJob[Any]) -> None:
        """Record the claim, to take it back if it cannot be delivered."""
        from dibs.session.claim_job import ClaimingJob

        assert isinstance(job, ClaimingJob), "the only kind of job that claims"
        self.job = job


class Claiming:
    """One claim, which is made and printed, or taken back if it cannot be printed."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._call = ShellCall()
        self._call.wait_seconds = invocation.given["wait"]
        self._signal: int | None = None

    def run(self) -> Answer:
        """Claim, and print the answer. A signal, or an output that cannot be written, takes the claim back.

        Raises SystemExit for a signal, OSError if the answer cannot be written, and the claim's Refusals.
        """
        delivered = False
        try:
            answer = anyio.run(self._until_signal)
            if answer is not None:
                self._warn_of_unstored_token()
                _deliver(self._invocation, answer)
                self._explain_token(answer)
                flush()
                delivered = True
        except Refusal as refusal:
            job = self._call.job
            # With a key or a resume, the caller can repeat the call to learn the outcome.
            delivered = not (isinstance(refusal, OutcomeUnknown) and job is not None and job.settle() is not None)
            raise
        finally:
            if not delivered:
                self._take_back()
        if answer is None:
            assert self._signal is not None, "nothing else ends the wait without an answer"
            self._invocation.session.database.close()  # now, without waiting for the database
            sys.exit(128 + self._signal)
        return answer

    async def _until_signal(self) -> Answer | None:
        """Return the answer, or None if a signal came first. Raises the claim's Refusals."""
        session, operation = self._invocation.session, self._invocation.operation
        answer: Answer | None = None
        scope = anyio.CancelScope()

        def end(number: signal.Signals) -> None:
            self._signal = number
            scope.cancel()

        try:
            with received(ENDING, end), scope:
                answer = await session.perform(operation, self._invocation.arguments, self._call)
                if not isinstance(answer, Idle):
                    await session.claims.forget_ended(session.database)
        except Refusal:
            if self._signal is None:
                raise
        return None if self._signal else answer

    def _warn_of_unstored_token(self) -> None:
        failure = getattr(self._invocation.session.claims, "failure", None)
        if failure is not None:
            click.echo(
                f"dibs: the token could not be stored in .dibs/ ({failure.strerror}). Send it with --token.", err=True
            )

    def _explain_token(self, answer: Answer) -> None:
        """Say how the next commands prove the claim of an agent without a name."""
        invocation = self._invocation
        quiet = invocation.as_json or invocation.given["token_only"]
        if quiet or _is_proven(invocation) or isinstance(answer, Idle):
            return
        feature, token = _claim_of(answer)
        memory = invocation.session.claims
        if isinstance(memory, TerminalTokens) and [one.token for one in memory.stored()] == [token]:
            click.echo(f"To finish it in this terminal: `dibs pass {feature}`. Elsewhere, or after another claim here:")
            click.echo(f"`dibs pass {feature} --token {token}`.")
            return
        click.echo(
            f"To finish it: `dibs pass {feature} --token {token}`. Or begin with `export DIBS_AGENT=NAME`, with a"
        )
        click.echo("name that no other shell has: then `dibs claim` stores the token for the next commands.")

    def _take_back(self) -> None:
        job = self._call.job
        if job is None or job.abandon():
            return
        with contextlib.suppress(Refusal):  # then the lease expires
            self._invocation.session.database.write_now(job.take_back, patience=2.0)


def _deliver(invocation: Invocation, answer: Answer) -> None:
    given = invocation.given
    if not (given["number_only"] or given["token_only"]):
        print_answer(answer, as_json=invocation.as_json)
    elif isinstance(answer, Idle):
        click.echo(answer.worded(SHELL, "Run").message, err=True)
    else:
        feature, token = _claim_of(answer)
        click.echo(token if given["token_only"] else feature)


def _claim_of(answer: Answer) -> tuple[int, str]:
    """Return the feature and the token of a claim."""
    if isinstance(answer, Claimed):
        return answer.feature.id, answer.claim.token
    assert isinstance(answer, Acknowledgement), "a claim has no other answer"
    assert answer.token is not None, "the answer to a claim"
    return answer.id, answer.token


def _is_proven(invocation: Invocation) -> bool:
    """Return whether the next commands know the token: the agent's is stored, and DIBS_CLAIM is their token."""
    settings = invocation.session.settings
    return settings.agent is not None or settings.claim is not None


def _claim(invocation: Invocation) -> None:
    if not _is_proven(invocation):
        if invocation.given["token_only"]:  # the claim is for somebody else
            invocation.session.claims = ClaimMemory()
        if invocation.given["resume"]:
            raise InvalidInput("--resume needs an agent's name: give --agent, or set DIBS_AGENT.", field="resume")
        if invocation.given["number_only"]:
            raise InvalidInput(
                "--id does not print the token, so the token must be stored: give --agent, or set DIBS_AGENT.",
                field="id",
            )
    sys.exit(_status(Claiming(invocation).run()))


def _status(answer: Answer) -> int:
    if not isinstance(answer, Idle):
        return 0
    if answer.state in ("complete", "empty"):
        return NOTHING_LEFT
    return NOTHING_READY if answer.state in ("waiting_for_claims", "waiting_for_back_off") else NOTHING_FOR_AGENTS


def _operation(operation: AnyOperation, given: Given) -> tuple[AnyOperation, Given]:
    brief = given.pop("brief")
    del given["number_only"], given["token_only"]
    wait = checked_as("wait", LongWait, given.pop("wait"))
    if not brief:
        return operation, given
    if "feature_id" not in given:
        raise InvalidInput("--brief needs FEATURE_ID.", field="brief")
    if wait or given.get("resume") or given.get("force") or given.get("category") or given.get("request_id"):
        raise InvalidInput("--brief can only be combined with FEATURE_ID.", field="brief")
    return BY_TOOL["feature_mark_in_progress"], {"feature_id": given["feature_id"]}


CLAIM = Convenience(
    params=(
        click.Option(["--wait"], type=float, default=0, metavar="SECONDS", help="Wait for work for this long."),
        click.Option(["--brief"], is_flag=True, help="Print a brief answer, without the feature's text."),
        click.Option(["--id", "number_only"], is_flag=True, help="Print only the feature's id."),
        click.Option(["--print-token", "token_only"], is_flag=True, help="Print only the claim token, for DIBS_CLAIM."),
    ),
    convert=_operation,
    without=("wait_seconds",),
    settings=("detached_lease",),
    run=_claim,
)
