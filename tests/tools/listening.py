"""A client that records every notification with its time, in both eras of the protocol."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dibs_proof.raw_client import Message
from races.servers import ServerClient, command_on

ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "listener", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
ERAS = ("2025-06-18", "2026-07-28")
LIST_CHANGED = "notifications/resources/list_changed"
UPDATED = "notifications/resources/updated"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
LATE = 30.0
"""Seconds after which a notification counts as missing."""


class Listener(ServerClient):
    """One server process and its notifications."""

    def __init__(self, command: Sequence[str], era: str) -> None:
        self.told: list[tuple[float, Message]] = []
        self.is_modern = era == ERAS[1]
        super().__init__(command)

    def write(self, message: Message) -> float:
        """Send a message in the form of the era: with an envelope, or after a handshake."""
        if self.is_modern:
            if "method" in message and message["method"] in ("initialize", "notifications/initialized"):
                return 0.0
            if "id" in message:
                message = {**message, "params": {**message.get("params", {}), "_meta": ENVELOPE}}
        return super().write(message)

    def _take(self, lines: Sequence[bytes], now: float) -> None:
        with self._arrival:
            self.told += [(now, one) for one in map(json.loads, lines) if "method" in one]
        super()._take(lines, now)

    def get(self, method: str, **params: Any) -> Any:
        """Send a request, and return its result or its error."""
        answer = self.message(self.ask(method, **params))
        return answer.get("result", answer.get("error"))

    def subscribe(self, *uris: str) -> Callable[[], None]:
        """Subscribe in the form of the era, also to the list of resources. Return a function that ends the subscription."""
        if self.is_modern:
            wanted = {"resourceSubscriptions": list(uris), "resourcesListChanged": True}
            stream = self.ask("subscriptions/listen", notifications=wanted)
            assert self.wait_until(lambda: any(one["method"] == ACKNOWLEDGED for _, one in self.told))
            return lambda: self.cancel(stream)
        for uri in uris:
            assert self.get("resources/subscribe", uri=uri) == {}

        def end() -> None:
            for uri in uris:
                assert self.get("resources/unsubscribe", uri=uri) == {}

        return end

    def wait_until(self, there: Callable[[], bool], within: float = LATE) -> bool:
        """Return whether the condition becomes true in time."""
        with self._arrival:
            return self._arrival.wait_for(there, within)

    def heard(self) -> list[str]:
        """The notified changes in order: URIs, and "list" for the list of resources."""
        return [_subject(one) for _, one in self.told if one["method"] in (UPDATED, LIST_CHANGED)]

    def forget(self) -> None:
        """Forget earlier notifications."""
        with self._arrival:
            self.told.clear()

    def seconds_until(self, since: float, *subjects: str) -> float:
        """Return how many seconds after `since` (time.monotonic) all of `subjects` were notified."""
        assert self.wait_until(lambda: set(subjects) <= set(self.heard())), (subjects, self.heard())
        with self._arrival:
            first = {_subject(one): now for now, one in reversed(self.told) if one["method"] in (UPDATED, LIST_CHANGED)}
        return max(first[subject] for subject in subjects) - since

    def quiet_for(self, seconds: float) -> list[str]:
        """Return the notifications within `seconds` from now."""
        self.forget()
        time.sleep(seconds)
        return self.heard()


def _subject(notification: Message) -> str:
    if notification["method"] == LIST_CHANGED:
        return "list"
    return str(notification["params"]["uri"])


@contextmanager
def listening(db: str, era: str, *flags: str) -> Iterator[Listener]:
    """A separate server for one listener, which ends normally and logs no error."""
    listener = Listener(command_on(db, *flags), era)
    try:
        listener.ready()
        yield listener
        assert listener.finish() == 0
        listener.stderr.seek(0)
        assert "Traceback" not in listener.stderr.read().decode(errors="replace")
    finally:
        listener.close()
