"""The claims that one caller has made, so that a call may omit its token if only one claim can be meant."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dibs_schema.next_step import Step
from dibs_schema.refusals import TokenRequired
from dibs_schema.status import Kind

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs.database.transaction import Transaction


class ClaimMemory:
    """Remembers no claim: every call sends its token. The other memories subclass it."""

    def choose(self, feature: int, sent: str | None, kind: Kind) -> Callable[[Transaction], str | None]:  # noqa: ARG002
        """Return the function that chooses, within the transaction, the token of a call on `feature`."""
        return lambda _: sent

    def proof(self, feature: int) -> Callable[[Transaction], str | None]:  # noqa: ARG002 - nothing is remembered
        """Return the function that chooses the token that proves the author of a note, if there is one."""
        return lambda _: None

    def author(self, feature: int) -> str | None:  # noqa: ARG002 - nothing is remembered
        """The name under which the feature was last claimed."""
        return None

    def own(self, feature: int) -> Sequence[IssuedClaim]:  # noqa: ARG002 - nothing is remembered
        """Return the claims of the feature that the caller may still have."""
        return ()

    def remember(self, feature: int, token: str, name: str, tool: str | None = None) -> None:
        """Remember a claim that was committed, and the claiming tool whose call received it."""

    def undo(self, token: str) -> None:
        """Forget a claim that was taken back before its answer was delivered."""

    def end(self, feature: int, token: str | None, kind: Kind) -> None:
        """Record that the holder's own transition ended the claim."""

    def end_all(self, feature: int, kind: Kind) -> None:
        """Record that a transition ended every claim of the feature."""

    def lose(self, tokens: Iterable[str | None]) -> None:
        """Record that other callers ended these claims."""

    def touch(self, feature: int) -> None:
        """Record a call about the feature, which shows that its holder is working."""

    def was_ended_by_holder(self, token: str | None) -> bool:  # noqa: ARG002 - nothing is remembered
        """Return whether the holder ended this claim itself. A later call without a token then does not refer to it."""
        return False

    async def forget_ended(self, database: Database, features: Iterable[int] = ()) -> None:
        """Forget ended claims of `features`: later calls on them are not about these claims."""


@dataclass(slots=True)
class IssuedClaim:
    """A claim that was issued: its token, the holder's name, the tools whose calls received it, and how it ended.

    It is live until its holder's transition ends it (`ended_by`), or until another caller ends it (`lost`).
    """

    feature: int
    token: str
    name: str
    touched: float
    tools: set[str] = field(default_factory=set)
    lost: bool = False
    ended_by: Kind | None = None

    @property
    def live(self) -> bool:
        """Whether the caller still has the claim, as far as this process knows."""
        return not self.lost and self.ended_by is None


class IssuedTokens(ClaimMemory):
    """Remembers the claims of one connection in this process. The event loop reads it, the writer thread adds to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_feature: dict[int, list[IssuedClaim]] = defaultdict(list)
        self._by_token: dict[str, IssuedClaim] = {}

    def own(self, feature: int) -> Sequence[IssuedClaim]:
        """Return the claims of the feature that the caller may still have."""
        with self._lock:
            return [one for one in self._by_feature.get(feature, ()) if one.live]

    def remember(self, feature: int, token: str, name: str, tool: str | None = None) -> None:
        """Remember a claim that was committed, and the claiming tool whose call received it."""
        with self._lock:
            if token not in self._by_token:
                issued = self._by_token[token] = IssuedClaim(feature, token, name, time.monotonic())
                self._by_feature[feature].append(issued)
            self._by_token[token].lost = False  # a lost claim may be regained
            if tool is not None:
                self._by_token[token].tools.add(tool)

    async def forget_ended(self, database: Database, features: Iterable[int] = ()) -> None:  # noqa: ARG002
        """Forget ended claims of `features`."""
        with self._lock:
            for feature in features:
                for one in [one for one in self._by_feature.get(feature, ()) if not one.live]:
                    self._drop(one)

    def undo(self, token: str) -> None:
        """Forget a claim that was taken back before its answer was delivered."""
        with self._lock:
            if token in self._by_token:
                self._drop(self._by_token[token])

    def _drop(self, one: IssuedClaim) -> None:
        del self._by_token[one.token]
        self._by_feature[one.feature].remove(one)

    def author(self, feature: int) -> str | None:
        """The name under which the feature was last claimed."""
        with self._lock:
            issued = self._by_feature.get(feature)
            return issued[-1].name if issued else None

    def touch(self, feature: int) -> None:
        """Record a call about the feature, which shows that its holder is working."""
        with self._lock:
            for one in self._by_feature.get(feature, ()):
                one.touched = time.monotonic()

    def choose(self, feature: int, sent: str | None, kind: Kind) -> Callable[[Transaction], str | None]:
        """Return the function that chooses a call's token: the one sent, or the only possible claim's token.

        A lost claim counts, so that a late call is refused with ClaimLost and does not affect another agent's claim.
        The function raises TokenRequired if the call can be about several claims: after one was lost, a late call and
        a call about a newer claim look the same.
        """
        return lambda _: self._chosen(feature, sent, kind)

    def _chosen(self, feature: int, sent: str | None, kind: Kind) -> str | None:
        self.touch(feature)
        with self._lock:
            issued = self._by_feature.get(feature, [])
            if sent is not None or not issued:
                return sent
            unfinished = [one for one in issued if one.ended_by is None]
            if len(issued) > 1 and (len(unfinished) > 1 or any(one.lost for one in issued)):
                raise TokenRequired(
                    f"This connection has claimed feature {feature} more than once, and the call does not say which "
                    "claim it belongs to.",
                    next=[Step(None, needs=("claim_token",))],
                    id=feature,
                )
            last = issued[-1]
            return last.token if last.ended_by in (None, kind) else None

    def was_ended_by_holder(self, token: str | None) -> bool:
        """Return whether the holder ended this claim itself. A later call without a token then does not refer to it."""
        with self._lock:
            one = self._by_token.get(token) if token is not None else None
            return one is not None and one.ended_by is not None

    def lose(self, tokens: Iterable[str | None]) -> None:
        """Record that other callers ended these claims."""
        with self._lock:
            for token in tokens:
                if token in self._by_token:
                    self._by_token[token].lost = True

    def end(self, feature: int, token: str | None, kind: Kind) -> None:  # noqa: ARG002 - the token says which
        """Record that the holder's own transition ended the claim."""
        with self._lock:
            one = self._by_token.get(token) if token is not None else None
            if one is not None and one.live:
                one.ended_by = kind

    def end_all(self, feature: int, kind: Kind) -> None:
        """Record that a transition ended every claim of the feature."""
        with self._lock:
            for one in self._by_feature.get(feature, ()):
                if one.live:
                    one.ended_by = kind

    def at_work(self, within: float) -> list[str]:
        """Return the live tokens of features that a call named in the last `within` seconds."""
        since = time.monotonic() - within
        with self._lock:
            return [one.token for one in self._by_token.values() if one.live and one.touched > since]

    def any_live(self) -> bool:
        """Return whether any claim is live."""
        with self._lock:
            return any(one.live for one in self._by_token.values())
