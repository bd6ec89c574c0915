"""The methods of a worker: claim a feature, keep it, and end the claim."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar
from uuid import uuid4

from dibs.client.calls import Calls, ServerGone
from dibs_schema.answers import Acknowledgement, Claimed, Idle, Testing
from dibs_schema.inputs import GREATEST_ID, EvidenceFields, HumanField
from dibs_schema.refusals import Refusal, RequestReused

T = TypeVar("T")

CLAIM = "feature_claim_and_get"


class Working(Calls):
    """What a coder or a tester does."""

    async def take(
        self,
        feature_id: int | None = None,
        category: str | None = None,
        wait_seconds: float = 0,
        agent: str | None = None,
        resume: bool = False,
        request_id: str | None = None,
    ) -> Claimed | Idle:
        """Claim the next ready feature, or `feature_id`, and remember its token; Idle says why there is none.

        `wait_seconds` (0 to 45) waits for work. `agent` is the name to claim under, if not the backlog's own;
        `resume` takes over what that name holds already. `request_id` is made up where none is given, so that
        a repeated call has one effect, and so that a claim whose caller was cancelled is found and given back;
        with your own you find it yourself, by the same call. Over HTTP an `agent` is then made up as well.
        Raises AlreadyClaimed, AlreadyHolding, AlreadyPassing, NotReady, UnmetDependencies and the like.
        """
        name = agent or self._agent
        if name is None and not self._wire.keeps_claims and not resume and request_id is None:
            name = (
                f"client-{uuid4().hex[:12]}"  # each claim is a holder of its own there, and keys need a name
            )
        ours = uuid4().hex if request_id is None and (name or self._wire.keeps_claims) else None
        asked = {
            "feature_id": feature_id,
            "category": category,
            "agent": name,
            "resume": resume,
            "request_id": request_id or ours,
        }

        async def taken_back(call: asyncio.Task[Claimed | Idle]) -> None:
            call.cancel()
            answer = await _came(call) or (await self._made(asked) if ours else None)
            if isinstance(answer, Claimed) and request_id is None:
                await self._give_back(answer.feature.id, answer.claim.token)

        call = self._ask_either(Claimed, Idle, CLAIM, wait_seconds=wait_seconds, **asked)
        answer = await self._tasks.undo(call, taken_back)
        if isinstance(answer, Claimed):
            self._tokens[answer.feature.id] = answer.claim.token
        return answer

    async def _made(self, asked: dict[str, Any]) -> Claimed | None:
        """The claim of a call whose answer nobody got, if it was made.

        The server takes a cancelled call back, but for one that it has just answered. The same call again would
        tell; but it would claim anew what was taken back. So the key is first shown with other arguments, which
        are refused in one way if it is known, and in another if not.
        """
        known = {"agent": asked["agent"], "request_id": asked["request_id"]}
        with suppress(Refusal, ServerGone):
            try:
                await self._ask_either(Claimed, Idle, CLAIM, feature_id=GREATEST_ID, **known)
            except RequestReused:
                answer = await self._ask_either(Claimed, Idle, CLAIM, **asked)
                return answer if isinstance(answer, Claimed) else None
        return None

    async def _give_back(self, feature_id: int, token: str) -> None:
        with suppress(Refusal, ServerGone):
            await self.release(feature_id, token)

    async def mark_in_progress(self, feature_id: int, agent: str | None = None) -> Acknowledgement:
        """Claim a feature whose text is known, and remember its token. Raises as `take` does."""

        async def taken_back(call: asyncio.Task[Acknowledgement]) -> None:
            if (answer := await _came(call)) is not None and answer.token is not None:
                await self._give_back(feature_id, answer.token)

        call = self._ask(
            Acknowledgement, "feature_mark_in_progress", feature_id=feature_id, agent=agent or self._agent
        )
        done = await self._tasks.undo(call, taken_back)
        if done.token is not None:
            self._tokens[feature_id] = done.token
        return done

    async def heartbeat(
        self, feature_id: int, claim_token: str | None = None, note: str | None = None
    ) -> Acknowledgement:
        """Show that the holder is at work. Over HTTP it renews the lease. Raises ClaimLost, NotClaimed."""
        return await self._move("feature_heartbeat", feature_id, claim_token, note=note)

    async def release(
        self, feature_id: int, claim_token: str | None = None, force: bool = False
    ) -> Acknowledgement:
        """Give a claim back without an outcome; with `force` a planner frees another's. Raises ClaimLost."""
        return await self._move("feature_clear_in_progress", feature_id, claim_token, force=force)

    async def mark_passing(
        self,
        feature_id: int,
        claim_token: str | None = None,
        evidence: EvidenceFields | str | None = None,
    ) -> Acknowledgement:
        """Finish a claimed feature, or confirm a passing one; a text as evidence is its summary.

        Raises ClaimLost, UnmetDependencies, NotClaimed.
        """
        return await self._move("feature_mark_passing", feature_id, claim_token, evidence=evidence)

    async def mark_failing(
        self, feature_id: int, reason: str, claim_token: str | None = None
    ) -> Acknowledgement:
        """End a failed attempt, or report that a passing feature broke. Raises ClaimLost, NotClaimed."""
        return await self._move("feature_mark_failing", feature_id, claim_token, reason=reason)

    async def skip(self, feature_id: int, reason: str, claim_token: str | None = None) -> Acknowledgement:
        """Put a feature last that cannot be built now. Raises ClaimLost, TokenRequired."""
        return await self._move("feature_skip", feature_id, claim_token, reason=reason)

    async def ask_person(
        self, feature_id: int, prompt: str, fields: Sequence[HumanField], claim_token: str | None = None
    ) -> Acknowledgement:
        """Ask a person what a claimed feature cannot be built without, which ends the claim. Raises ClaimLost."""
        return await self._move(
            "feature_request_human_input", feature_id, claim_token, prompt=prompt, fields=fields
        )

    async def add_note(self, feature_id: int, text: str) -> Acknowledgement:
        """Tell the next worker on a feature something (up to 2,000 characters). Raises NotFound."""
        return await self._ask(Acknowledgement, "feature_add_note", feature_id=feature_id, text=text)

    async def take_for_regression(self, limit: int = 3) -> Testing:
        """Get 1 to 10 passing features tested longest ago, reserved for 30 minutes; then mark each."""
        taken = await self._ask(Testing, "feature_get_for_regression", limit=limit)
        for feature in taken.features:  # a report on them is about no earlier claim
            self._forget(feature.id)
        return taken


async def _came(call: asyncio.Task[T]) -> T | None:
    """What a call has brought when it ends, if it brought anything."""
    await asyncio.wait({call})
    return None if call.cancelled() or call.exception() is not None else call.result()
