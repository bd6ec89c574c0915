"""Calls operations, repeats calls where that is safe, and remembers the tokens of claims."""

from __future__ import annotations

import asyncio
import importlib
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import anyio
import anyio.to_thread
from pydantic import BaseModel

from dibs.client.tasks import Tasks
from dibs.rules.holder_names import program_name
from dibs_schema.answers import Acknowledgement, Answer, Claimed, Idle, Lease, Testing
from dibs_schema.inputs import GREATEST_ID
from dibs_schema.operations import AnyOperation, Operation, Operations, argument_name
from dibs_schema.refusals import AlreadyHolding, Busy, OutcomeUnknown, Refusal, RequestReused

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs.settings import Settings

T = TypeVar("T")
A = TypeVar("A", bound=Answer)

RETRY_FOR = 60.0
"""Seconds for which a call is repeated by default."""

CLOSED = "this backlog is closed: its block has ended"


class ServerGone(Exception):  # noqa: N818 - it names what has happened
    """The server ended or could not be reached during a call. The call may or may not have taken effect.

    Calls after the end of the backlog's block raise it too.
    """


@dataclass(frozen=True, slots=True)
class Link:
    """A way to call operations, and to open the event log if this machine can reach the database.

    `call` takes an operation and its arguments, and raises Refusals and ServerGone. `renews_leases` says whether the
    connection proves that the holder is alive. Then the server renews the leases, and idempotency keys need no name.
    `release_now` releases claims, given the token of each feature, in a process that a signal ends; it is None where
    the end of the process releases them. `settings` lead another process of this machine to the same backlog. `verify` runs
    the verify command for a claim of this process in a folder, for the pass that follows.
    """

    call: Callable[[AnyOperation, dict[str, Any]], Coroutine[Any, Any, Any]]
    event_log: Callable[[], AbstractContextManager[Database]] | None = None
    renews_leases: bool = True
    release_now: Callable[[Mapping[int, str]], None] | None = None
    settings: Settings | None = None
    verify: Callable[[int, str, Path, Mapping[str, Any] | None], Coroutine[Any, Any, None]] | None = None


class Calls(Operations):
    """Calls operations over a link, and remembers the token of each of its claims.

    `agent` is the name of the claims' holder. A call that finds the database `busy` is repeated for `retry_for`
    seconds, and so is a call with an unknown outcome that cannot take effect twice.
    """

    def __init__(self, link: Link, *, agent: str | None = None, retry_for: float = RETRY_FOR) -> None:
        self._link = link
        self._agent = agent
        self._retry_for = retry_for
        self._tokens: dict[int, str] = {}
        self._tasks = Tasks()
        self._closed = False

    async def call_operation(self, operation: Operation[..., A], *args: Any, **kwargs: Any) -> A:
        """Call an operation. Arguments that are None are omitted. Raises its Refusals, and ServerGone.

        The token of a lost claim stays remembered, so that a late call never affects another agent's claim.
        """
        bound = operation.signature.bind(*args, **kwargs).arguments
        given = {argument_name(name): _plain(value) for name, value in bound.items() if value is not None}
        if operation is Operations.take:
            return await self._take(given)  # type: ignore[return-value]  # A is the answer of `take`
        if operation is Operations.mark_in_progress or given.get("keep"):
            return await self._claim_briefly(operation, given)  # type: ignore[return-value]  # likewise
        feature = given.get("feature_id")
        is_about_claim = "claim_token" in operation.parameters
        if is_about_claim and feature in self._tokens:
            given.setdefault("claim_token", self._tokens[feature])
        if "request_id" in operation.parameters:
            given.setdefault("request_id", uuid4().hex)  # so that a repeated call takes effect once
        answer = await self._ask(operation, given)
        if isinstance(answer, Acknowledgement) and is_about_claim and answer.status != "in_progress":
            self._forget(answer.id, given.get("claim_token"))
        if isinstance(answer, Testing):
            for one in answer.features:  # later reports on them concern no earlier claim
                self._forget(one.id)
        return answer

    def holds(self, feature_id: int, token: str | None = None) -> bool:
        """Return whether this object remembers a claim of the feature, or that very claim."""
        remembered = self._tokens.get(feature_id)
        return remembered is not None and token in (None, remembered)

    @property
    def renews_leases(self) -> bool:
        """Whether the server renews this object's leases for as long as the connection lasts."""
        return self._link.renews_leases

    async def hand_over(self, feature_id: int, lease: Lease) -> tuple[Lease, dict[str, str]]:
        """Give up a claim. Return its lease, and the environment variables for the agent that gets it.

        The claim gets a new token, so that the connection neither renews nor releases it. Over HTTP nothing does, and
        only the claim's variable is known. Raises ClaimLost.
        """
        link, place = self._link, {}
        if link.event_log is not None and link.settings is not None:
            verbs = await anyio.to_thread.run_sync(importlib.import_module, "dibs.verbs.adopt")  # imports SQLAlchemy
            seconds = link.settings.detached_lease
            with link.event_log() as database:
                lease = await database.write(lambda tx: verbs.hand_over(tx, feature_id, lease.token, seconds))
            place = link.settings.place()
        self._forget(feature_id)
        return lease, {**place, "DIBS_CLAIM": lease.token}

    async def put_back(self, feature_id: int, reason: str) -> None:
        """End this object's claim of a feature so that it counts as no attempt, since nothing is wrong with the feature.

        Over HTTP it is released, which counts. Raises ClaimLost if this object no longer has such a claim.
        """
        token, link = self._tokens.get(feature_id), self._link
        if token is None or link.event_log is None:
            await self.release(feature_id, token)
            return
        verbs = await anyio.to_thread.run_sync(importlib.import_module, "dibs.verbs.release")  # imports SQLAlchemy
        with link.event_log() as database:
            await database.write(lambda tx: verbs.put_back(tx, feature_id, token, reason))
        self._forget(feature_id, token)

    async def verify(self, feature_id: int, token: str, folder: Path, evidence: Mapping[str, Any] | None) -> None:
        """Run the project's verify command in a folder for a claim. Its pass, which comes next, does not run it again.

        Raises NotVerified, InvalidInput if the pass needs other evidence, and the refusals of a pass. In another process it
        does nothing.
        """
        if self._link.verify is not None:
            await self._link.verify(feature_id, token, folder, evidence)

    async def _ask(self, operation: Operation[..., A], given: Mapping[str, Any]) -> A:
        """Call an operation, and repeat the call if that is safe."""
        deadline = time.monotonic() + self._retry_for
        while True:
            try:
                answer: A = await self._link.call(operation, dict(given))
            except (Busy, OutcomeUnknown) as refusal:
                is_safe = isinstance(refusal, Busy) or _is_repeatable(operation, given)
                if not is_safe or time.monotonic() > deadline:
                    raise
            else:
                return answer
            await anyio.sleep(random.uniform(0.1, 0.5))  # many clients spread out

    # -- claims -----------------------------------------------------------------------------------

    async def _take(self, given: dict[str, Any]) -> Claimed | Idle:
        """Claim, and remember the token.

        A claim without an idempotency key gets one, so that a repeated call takes effect once, and so that the claim
        of a cancelled caller can be found and released. Over HTTP a key needs a name, so the claim gets one as well.
        """
        has_key = "request_id" in given
        if self._agent is not None:
            given.setdefault("agent", self._agent)
        if not self.renews_leases and not ({"agent", "request_id"} & given.keys() or given.get("resume")):
            given["agent"] = f"{program_name()}-{uuid4().hex[:12]}"
        if not has_key and ("agent" in given or self.renews_leases):
            given["request_id"] = uuid4().hex

        async def take_back(call: asyncio.Task[Claimed | Idle]) -> None:
            call.cancel()
            answer = await _result_of(call)
            if answer is None and not has_key and "request_id" in given:
                answer = await self._find(given)
            if isinstance(answer, Claimed) and not has_key and not answer.already_claimed:
                await self._give_back(answer.feature.id, answer.claim.token)

        answer = await self._tasks.undo(self._ask(Operations.take, given), take_back)
        if isinstance(answer, Claimed):
            self._refuse_shared(answer, answer.feature.id)
            self._tokens[answer.feature.id] = answer.claim.token
        return answer

    async def _find(self, given: dict[str, Any]) -> Claimed | None:
        """Return the claim of a call whose answer was not received, if it was made.

        The server undoes the claim of a cancelled call, unless it has already answered. Repeating the call could recreate
        a claim that the server has already undone. So the key is first sent with other arguments: a known key is refused
        with RequestReused.
        """
        key = {name: given[name] for name in ("agent", "request_id") if name in given}
        with suppress(Refusal, ServerGone):
            try:
                await self._ask(Operations.take, key | {"feature_id": GREATEST_ID})
            except RequestReused:
                repeated = {name: one for name, one in given.items() if name != "wait_seconds"}
                answer = await self._ask(Operations.take, repeated)
                return answer if isinstance(answer, Claimed) else None
        return None

    async def _claim_briefly(self, operation: Operation[..., Any], given: dict[str, Any]) -> Acknowledgement:
        if self._agent is not None and "agent" in operation.parameters:
            given.setdefault("agent", self._agent)

        async def take_back(call: asyncio.Task[Acknowledgement]) -> None:
            claim = await _result_of(call)
            if claim is not None and claim.token is not None and not claim.already_claimed:
                await self._give_back(claim.id, claim.token)

        answer: Acknowledgement = await self._tasks.undo(self._ask(operation, given), take_back)
        self._refuse_shared(answer, answer.id)
        if answer.token is not None:
            self._tokens[answer.id] = answer.token
        return answer

    def _refuse_shared(self, answer: Claimed | Acknowledgement, feature_id: int) -> None:
        """Raise AlreadyHolding if this object already has the claim: another task of the program works on it."""
        if answer.already_claimed and self.holds(feature_id):
            raise AlreadyHolding(
                f"This object has already claimed feature {feature_id}, for another task or an earlier call.",
                id=feature_id,
            )

    async def _give_back(self, feature_id: int, token: str) -> None:
        with suppress(Refusal, ServerGone):
            await self.release(feature_id, token)

    def _forget(self, feature_id: int, token: str | None = None) -> None:
        if token is None or self._tokens.get(feature_id) == token:
            self._tokens.pop(feature_id, None)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _is_repeatable(operation: AnyOperation, given: Mapping[str, Any]) -> bool:
    """Return whether a call that may have taken effect cannot take effect twice: by its key, its token or its operation."""
    if "note" in given or given.get("force"):
        return False
    return operation.reads or operation.repeatable or "request_id" in given or "claim_token" in given


async def _result_of(call: asyncio.Task[T]) -> T | None:
    """Wait for a call, and return its answer, or None if it was cancelled or raised an exception."""
    await asyncio.wait({call})
    return None if call.cancelled() or call.exception() is not None else call.result()
