"""The claims that this server has issued to its connection, so that a token may be left out where that is clear."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from dibs_schema.refusals import TokenRequired
from dibs_schema.status import Kind


@dataclass(slots=True)
class Issued:
    """A claim that was issued: its token, the name it was made under, and how it ended.

    It is live until a move of its own ended it (`ended_by`), or it was lost to somebody else.
    """

    feature: int
    token: str
    name: str
    touched: float
    lost: bool = False
    ended_by: Kind | None = None

    @property
    def live(self) -> bool:
        """Whether it is held, as far as this server knows."""
        return not self.lost and self.ended_by is None


class Tokens:
    """What was issued, by feature. The event loop reads it, and the writer's thread adds to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_feature: dict[int, list[Issued]] = defaultdict(list)
        self._by_token: dict[str, Issued] = {}

    def remember(self, feature: int, token: str, name: str) -> None:
        """Note a claim that was committed."""
        with self._lock:
            if token not in self._by_token:
                issued = self._by_token[token] = Issued(feature, token, name, time.monotonic())
                self._by_feature[feature].append(issued)

    def forget(self, features: Iterable[int]) -> None:
        """Drop what has ended on these features: what comes next about them is not about old claims."""
        with self._lock:
            for feature in features:
                for one in [one for one in self._by_feature.get(feature, ()) if not one.live]:
                    self._drop(one)

    def undo(self, token: str) -> None:
        """Drop a claim that was taken back before it was answered."""
        with self._lock:
            if token in self._by_token:
                self._drop(self._by_token[token])

    def _drop(self, one: Issued) -> None:
        del self._by_token[one.token]
        self._by_feature[one.feature].remove(one)

    def author(self, feature: int) -> str | None:
        """The name under which the feature was claimed last."""
        with self._lock:
            issued = self._by_feature.get(feature)
            return issued[-1].name if issued else None

    def touch(self, feature: int) -> None:
        """Note that a call was about the feature: its holder is at work."""
        with self._lock:
            for one in self._by_feature.get(feature, ()):
                one.touched = time.monotonic()

    def meant(self, feature: int, given: str | None, move: Kind) -> str | None:
        """The token that a call on `feature` carries: the one sent, or the only one it can mean.

        A claim that was lost is meant until proven otherwise, so that a late call is told so and does
        not pass for somebody else's. Raises TokenRequired where several claims could be meant.
        """
        self.touch(feature)
        with self._lock:
            issued = self._by_feature.get(feature, [])
            if given is not None or not issued:
                return given
            if len(issued) > 1 and any(one.ended_by is None for one in issued):
                raise TokenRequired(
                    f"This connection has claimed feature {feature} more than once, and the call does not say which "
                    "claim it belongs to. Send claim_token from the claim's answer.",
                    id=feature,
                )
            last = issued[-1]
            return last.token if last.ended_by in (None, move) else None

    def was_ended_here(self, token: str | None) -> bool:
        """Whether the holder itself ended the claim, so that it knows, and a new call is a new statement."""
        with self._lock:
            one = self._by_token.get(token) if token is not None else None
            return one is not None and one.ended_by is not None

    def lose(self, tokens: Iterable[str | None]) -> None:
        """Note claims that others have ended."""
        with self._lock:
            for token in tokens:
                if token in self._by_token:
                    self._by_token[token].lost = True

    def end(self, token: str | None, move: Kind) -> None:
        """Note that a move of the holder's own ended the claim."""
        with self._lock:
            one = self._by_token.get(token) if token is not None else None
            if one is not None and one.live:
                one.ended_by = move

    def end_on(self, feature: int, move: Kind) -> None:
        """Note that a move ended whatever claim there was on the feature."""
        with self._lock:
            for one in self._by_feature.get(feature, ()):
                if one.live:
                    one.ended_by = move

    def at_work(self, within: float) -> list[str]:
        """The live tokens about which there was a call in the last `within` seconds."""
        since = time.monotonic() - within
        with self._lock:
            return [one.token for one in self._by_token.values() if one.live and one.touched > since]

    def any_live(self) -> bool:
        """Whether anything is held."""
        with self._lock:
            return any(one.live for one in self._by_token.values())
