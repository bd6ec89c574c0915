"""One call of an operation: its answer or its refusal, repeated where that is safe, with the claim's token."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import anyio
from pydantic import BaseModel

from dibs.client.tasks import Tasks
from dibs_schema.answers import Acknowledgement, Answer, Claimed, Idle, Testing
from dibs_schema.inputs import GREATEST_ID
from dibs_schema.operations import AnyOperation, Operation, Operations
from dibs_schema.refusals import Busy, OutcomeUnknown, Refusal, RequestReused

if TYPE_CHECKING:
    from dibs.database import Database

T = TypeVar("T")
A = TypeVar("A", bound=Answer)

PAUSE = (0.1, 0.5)
"""Seconds between two attempts of a call, drawn at random, so that many clients do not return at once."""
RETRY_FOR = 60.0
"""Seconds for which a call is repeated by default."""

CLOSED = "this backlog is closed: its block has ended"


class ServerGone(Exception):  # noqa: N818 - it says what happened
    """The server ended, or could not be reached, during a call. The call may or may not have taken effect.

    Also raised by a backlog whose own block has ended.
    """


@dataclass(frozen=True, slots=True)
class Link:
    """A way to call operations, and to open the event log where the database is within reach.

    `call` takes an operation and its arguments, and raises Refusals and ServerGone. `renews_leases` says whether the
    connection proves that the holder is alive: its server renews the leases, and knows the owner of an idempotency
    key without a name.
    """

    call: Callable[[AnyOperation, dict[str, Any]], Awaitable[Any]]
    event_log: Callable[[], AbstractContextManager[Database]] | None = None
    renews_leases: bool = True


class Calls(Operations):
    """Calls operations over a link, and remembers the token of each of its claims.

    `agent` is the name that claims are made under. A call that found the database `busy`, or whose outcome is
    unknown, is repeated for `retry_for` seconds; the latter only if it cannot take effect twice.
    """

    def __init__(self, link: Link, *, agent: str | None = None, retry_for: float = RETRY_FOR) -> None:
        self._link = link
        self._agent = agent
        self._retry_for = retry_for
        self._tokens: dict[int, str] = {}
        self._tasks = Tasks()

    async def call_operation(self, operation: Operation[..., A], *args: Any, **kwargs: Any) -> A:
        """Call an operation. Arguments that are None are left out. Raises its Refusals, and ServerGone.

        A lost token stays remembered, so that a late call is never taken for one about somebody else's claim.
        """
        bound = operation.signature.bind(*args, **kwargs).arguments
        given = {name: _plain(value) for name, value in bound.items() if value is not None}
        if operation is Operations.take:
            return await self._take(given)  # type: ignore[return-value]  # which is what `take` answers
        if operation is Operations.mark_in_progress:
            return await self._mark_in_progress(given)  # type: ignore[return-value]  # likewise
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
            for one in answer.features:  # what is reported about them concerns no earlier claim
                self._forget(one.id)
        return answer

    def holds(self, feature_id: int, token: str | None = None) -> bool:
        """Whether this object remembers a claim of the feature, or that very claim."""
        remembered = self._tokens.get(feature_id)
        return remembered is not None and token in (None, remembered)

    @property
    def renews_leases(self) -> bool:
        """Whether the server renews this object's leases for as long as the connection lasts."""
        return self._link.renews_leases

    async def _ask(self, operation: Operation[..., A], given: Mapping[str, Any]) -> A:
        """Call an operation, again as long as that helps."""
        ends = time.monotonic() + self._retry_for
        while True:
            try:
                answer: A = await self._link.call(operation, dict(given))
            except (Busy, OutcomeUnknown) as refusal:
                again = isinstance(refusal, Busy) or _is_safe_twice(operation, given)
                if not again or time.monotonic() > ends:
                    raise
            else:
                return answer
            await anyio.sleep(random.uniform(*PAUSE))

    # -- claims -----------------------------------------------------------------------------------

    async def _take(self, given: dict[str, Any]) -> Claimed | Idle:
        """Claim, and remember the token.

        A claim without an idempotency key gets one, so that a repeated call takes effect once, and so that a claim
        whose caller was cancelled is found and released. Over HTTP a key needs a name, so one is made up as well.
        """
        chosen_key = given.get("request_id")
        if "agent" not in given and self._agent is not None:
            given["agent"] = self._agent
        if not self.renews_leases and not ({"agent", "request_id"} & given.keys() or given.get("resume")):
            given["agent"] = f"client-{uuid4().hex[:12]}"
        has_key = chosen_key is not None
        if not has_key and ("agent" in given or self.renews_leases):
            given["request_id"] = uuid4().hex

        async def taken_back(call: asyncio.Task[Claimed | Idle]) -> None:
            call.cancel()
            answer = await _result_of(call)
            if answer is None and not has_key and "request_id" in given:
                answer = await self._find(given)
            if isinstance(answer, Claimed) and not has_key:
                await self._give_back(answer.feature.id, answer.claim.token)

        answer = await self._tasks.undo(self._ask(Operations.take, given), taken_back)
        if isinstance(answer, Claimed):
            self._tokens[answer.feature.id] = answer.claim.token
        return answer

    async def _find(self, given: dict[str, Any]) -> Claimed | None:
        """The claim of a call whose answer nobody received, if it was made.

        The server takes a cancelled call back, unless it has just answered. The same call again would find out, but
        might claim again what was taken back. So the key is first sent with other arguments: a known key is refused
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

    async def _mark_in_progress(self, given: dict[str, Any]) -> Acknowledgement:
        if self._agent is not None:
            given.setdefault("agent", self._agent)

        async def taken_back(call: asyncio.Task[Acknowledgement]) -> None:
            if (answer := await _result_of(call)) is not None and answer.token is not None:
                await self._give_back(answer.id, answer.token)

        done = await self._tasks.undo(self._ask(Operations.mark_in_progress, given), taken_back)
        if done.token is not None:
            self._tokens[done.id] = done.token
        return done

    async def _give_back(self, feature_id: int, token: str) -> None:
        with suppress(Refusal, ServerGone):
            await self.release(feature_id, token)

    def _forget(self, feature_id: int, token: str | None = None) -> None:
        if token is None or self._tokens.get(feature_id) == token:
            self._tokens.pop(feature_id, None)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _is_safe_twice(operation: AnyOperation, given: Mapping[str, Any]) -> bool:
    """Whether a call that may have taken effect can be repeated: by its key, its token, or by what it does."""
    if "note" in given or given.get("force"):
        return False
    return operation.reads or operation.repeatable or "request_id" in given or "claim_token" in given


async def _result_of(call: asyncio.Task[T]) -> T | None:
    """What a call has returned when it ends, if it returned anything."""
    await asyncio.wait({call})
    return None if call.cancelled() or call.exception() is not None else call.result()
