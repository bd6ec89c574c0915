"""The methods of a worker: claim a feature, keep it, and end the claim."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from dibs.client.calls import Calls
from dibs_schema.answers import Acknowledgement, Claimed, Idle, Testing
from dibs_schema.inputs import EvidenceFields, HumanField


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
        `resume` takes over what that name holds already. `request_id` is made up where none is given, so
        that a repeated call has one effect; but not over HTTP without an `agent`, whose key it would be.
        Raises AlreadyClaimed, AlreadyHolding, AlreadyPassing, NotReady, UnmetDependencies and the like.
        """
        name = agent or self._agent
        if request_id is None and (name or self._wire.keeps_claims):
            request_id = uuid4().hex
        answer = await self._ask_either(
            Claimed,
            Idle,
            "feature_claim_and_get",
            feature_id=feature_id,
            category=category,
            wait_seconds=wait_seconds,
            agent=name,
            resume=resume,
            request_id=request_id,
        )
        if isinstance(answer, Claimed):
            self._tokens[answer.feature.id] = answer.claim.token
        return answer

    async def mark_in_progress(self, feature_id: int, agent: str | None = None) -> Acknowledgement:
        """Claim a feature whose text is known, and remember its token. Raises as `take` does."""
        done = await self._ask(
            Acknowledgement, "feature_mark_in_progress", feature_id=feature_id, agent=agent or self._agent
        )
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
