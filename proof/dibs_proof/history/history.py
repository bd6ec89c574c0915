"""A history: the calls of clients, their times and their answers, stored as lines of JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from dibs_proof.history.model import FeatureState, Limits
from dibs_schema.status import Kind, Status

UNSURE = ("outcome_unknown",)
"""Refusals after which it is unknown whether the call took effect, as after a lost answer."""

AFTERLIFE = 60.0
"""Seconds after a server's end in which its calls may still take effect; no wait for a lock is longer."""

CONNECTION = ("agent", "lease", "claim", "role")
"""The fields of a connection that are stored."""

Change = Literal["killed", "closed", "stopped", "continued"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one client; times in seconds of CLOCK_MONOTONIC, which all processes of a machine share.

    `ended` and `answer` are None if the answer was lost: whether the call took effect is unknown.
    `answer` is the structured content; for a refusal it is the object in `error`.
    """

    client: str
    number: int
    tool: str
    arguments: dict[str, Any]
    begun: float
    ended: float | None = None
    answer: dict[str, Any] | None = None
    refused: bool = False

    @property
    def code(self) -> str | None:
        """Return the refusal's code, or None if the call was not refused."""
        return str(self.answer["code"]) if self.refused and self.answer is not None else None

    @property
    def lost(self) -> bool:
        """Return whether it is unknown if the call took effect."""
        return self.answer is None or self.code in UNSURE

    @property
    def until(self) -> float:
        """Return the latest time at which the call can have taken effect."""
        return math.inf if self.ended is None or self.lost else self.ended


@dataclass(frozen=True, slots=True)
class Interruption:
    """An interruption of a client's server.

    `killed`: it ended at once and released nothing. `closed`: its input ended or it got SIGTERM, so it releases its
    claims. `stopped` and `continued`: it did not run between the two.
    """

    client: str
    change: Change
    at: float


@dataclass(slots=True)
class Connection:
    """One client with its server: the agent name of its claims, if any, and its lease in seconds.

    `claim` is the token that the server was started with: it has no other claim. `role` is the server's role, or None
    for all.
    """

    client: str
    agent: str | None = None
    lease: float = 120.0
    claim: str | None = None
    role: str | None = None
    interruptions: list[Interruption] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class InitialFeature:
    """A feature before the first call: its state and its dependencies."""

    state: FeatureState = field(default_factory=FeatureState)
    needs: frozenset[int] = frozenset()


@dataclass(slots=True)
class History:
    """Every call of every client on one project, and the settings and states that the checks need.

    `back_off` is in seconds, or None if it is not checked because wall clocks were changed.
    """

    limits: Limits = field(default_factory=Limits)
    back_off: float | None = 30.0
    max_claims: int = 1
    max_claims_per_connection: int = 16
    start: dict[int, InitialFeature] = field(default_factory=dict)
    connections: dict[str, Connection] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write the history to a file."""
        with path.open("w", encoding="utf-8") as file:
            for line in self._lines():
                write_line(file, line)

    def _lines(self) -> Iterator[dict[str, Any]]:
        rules = {"max_claims": self.max_claims, "max_claims_per_connection": self.max_claims_per_connection}
        yield {"limits": asdict(self.limits), "back_off": self.back_off, **rules}
        for number, start in self.start.items():
            yield {"feature": number, "one": asdict(start.state), "needs": sorted(start.needs)}
        for one in self.connections.values():
            yield connection_line(one)
            for change in one.interruptions:
                yield {"interruption": change.change, "client": change.client, "at": change.at}
        for call in self.calls:
            yield call_line(call)
            if call.ended is not None:
                yield answer_line(call)

    @classmethod
    def read(cls, paths: Iterable[Path]) -> History:
        """Read one history from several files; each process may write its own file.

        A last line without a line end is ignored: its writer was killed.
        """
        history = cls()
        open_: dict[tuple[str, int], dict[str, Any]] = {}
        for path in paths:
            *lines, _ = path.read_bytes().split(b"\n")
            for line in lines:
                history._read_line(json.loads(line), open_)
        calls = (Call(**fields) for fields in open_.values())
        history.calls = sorted(calls, key=lambda call: call.begun)
        return history

    def _read_line(self, line: dict[str, Any], calls: dict[tuple[str, int], dict[str, Any]]) -> None:
        match line:
            case {"limits": limits}:
                self.limits, self.back_off = Limits(**limits), line["back_off"]
                self.max_claims = line["max_claims"]
                self.max_claims_per_connection = line["max_claims_per_connection"]
            case {"feature": number}:
                self.start[number] = InitialFeature(_state(line["one"]), frozenset(line["needs"]))
            case {"connection": client}:
                known = self.connection(client)
                known.agent, known.lease, known.claim, known.role = (line[name] for name in CONNECTION)
            case {"interruption": change}:
                client = line["client"]
                self.connection(client).interruptions.append(Interruption(client, change, line["at"]))
            case _:
                calls.setdefault((line["client"], line["number"]), {}).update(line)

    def over_by(self, call: Call) -> float:
        """Return the latest time at which a call can have taken effect: for a lost call, soon after its server's end."""
        if not call.lost:
            return call.until
        ends = [one.at for one in self.connection(call.client).interruptions if one.change in ("killed", "closed")]
        return max(call.begun, min(ends)) + AFTERLIFE if ends else math.inf

    def connection(self, client: str) -> Connection:
        """Return the connection of a client; add it if it is new."""
        return self.connections.setdefault(client, Connection(client))


def connection_line(one: Connection) -> dict[str, Any]:
    """Return the line that is written when a server is started."""
    return {"connection": one.client, **{name: getattr(one, name) for name in CONNECTION}}


def call_line(call: Call) -> dict[str, Any]:
    """Return the line that is written before a call is sent."""
    return {
        "client": call.client,
        "number": call.number,
        "tool": call.tool,
        "arguments": call.arguments,
        "begun": call.begun,
    }


def answer_line(call: Call) -> dict[str, Any]:
    """Return the line that is written when the answer has arrived."""
    return {
        "client": call.client,
        "number": call.number,
        "ended": call.ended,
        "answer": call.answer,
        "refused": call.refused,
    }


def write_line(file: TextIO, line: dict[str, Any]) -> None:
    """Write one line."""
    file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def _state(fields: dict[str, Any]) -> FeatureState:
    token, kind = fields.pop("ended")
    archived_from, status = fields.pop("archived_from"), Status(fields.pop("status"))
    return FeatureState(
        **fields,
        status=status,
        archived_from=Status(archived_from) if archived_from else None,
        ended=(token, Kind(kind) if kind else None),
    )
