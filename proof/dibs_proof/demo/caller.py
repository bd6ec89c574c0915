"""A client that keeps a record of what it was told."""

from __future__ import annotations

import time
from typing import Any

import anyio

from dibs.client import Client
from dibs_proof.checks.observations import Holding
from dibs_proof.demo.records import Records
from dibs_schema.refusals import Busy, ClaimLost, Refusal
from dibs_schema.status import Kind

BUSY_PAUSE = 0.1
"""Seconds before a call is repeated that found the database busy."""


class Caller:
    """Calls the tools of one server as `agent`, and records every answer."""

    def __init__(self, client: Client, agent: str, records: Records, lease: float) -> None:
        self.client = client
        self._agent = agent
        self._records = records
        self._lease = lease

    async def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool, again while the database is busy. Raises Refusal, which is counted, and ServerGone."""
        while True:
            try:
                return await self.client.call(tool, **arguments)
            except Busy as refusal:
                self._records.refusals[refusal.code] += 1
                await anyio.sleep(BUSY_PAUSE)
            except Refusal as refusal:
                self._records.refusals[refusal.code] += 1
                raise

    async def claim_this(self, feature: int) -> Holding:
        """Claim one feature. Raises the Refusal that says why not."""
        found = await self._claim(feature_id=feature)
        assert isinstance(found, Holding), "a claim by id succeeds or is refused"
        return found

    async def claim_next(self, wait: float = 0) -> Holding | str:
        """Claim the next ready feature, waiting `wait` seconds for one; the holding, or why there is none."""
        return await self._claim(wait_seconds=wait)

    async def _claim(self, **arguments: Any) -> Holding | str:
        asked_at = time.monotonic()
        answer = await self.ask("feature_claim_and_get", **arguments)
        given_at = time.monotonic()
        if answer["state"] != "claimed":
            return str(answer["state"])
        if not arguments.get("wait_seconds"):  # else the time says how long work took to come
            self._records.claim_times.append(given_at - asked_at)
        work, token = answer["feature"], answer["claim"]["token"]
        holding = Holding(work["id"], work["name"], self._agent, token, asked_at, given_at)
        self._records.hold(holding)
        return holding

    async def end(self, kind: Kind, tool: str, holding: Holding, **arguments: Any) -> dict[str, Any]:
        """Make the move that ends a claim. Raises ClaimLost where the lease had run out before."""
        sent_at = time.monotonic()
        try:
            answer = await self.ask(tool, feature_id=holding.feature, claim_token=holding.token, **arguments)
        except ClaimLost:
            holding.until = holding.asked_at + self._lease
            raise
        holding.until = sent_at
        self._records.acknowledge(kind, holding.feature, self._agent, answer["status"])
        return answer

    async def move(self, kind: Kind, tool: str, feature: int, **arguments: Any) -> None:
        """Make a move that needs no claim."""
        answer = await self.ask(tool, feature_id=feature, **arguments)
        self._records.acknowledge(kind, feature, self._agent, answer["status"])

    async def refused(self, tool: str, holding: Holding, **arguments: Any) -> str | None:
        """The code with which a call that must be refused is refused, or None if it was accepted."""
        try:
            await self.ask(tool, feature_id=holding.feature, claim_token=holding.token, **arguments)
        except Refusal as refusal:
            return refusal.code
        return None
