"""A history: what clients asked, when, and what they were told; kept as lines of JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from dibs_proof.history.model import Limits, Sketch
from dibs_schema.status import Kind, Status

UNSURE = ("outcome_unknown",)
"""Refusals after which a call may have acted or not, as if its answer had been lost."""

AFTERLIFE = 60.0
"""Seconds in which what a server had begun may still take effect after its end: longer than any wait for a lock."""

Change = Literal["killed", "closed", "stopped", "continued"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one client; times in seconds of CLOCK_MONOTONIC, which all processes of a machine share.

    `ended` and `answer` are None where the answer was lost: the call may have happened, or not.
    `answer` is the structured content; of a refusal it is what stands in `error`.
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
        """The refusal's code, or None where it is none."""
        return str(self.answer["code"]) if self.refused and self.answer is not None else None

    @property
    def lost(self) -> bool:
        """Whether nobody knows if it has happened."""
        return self.answer is None or self.code in UNSURE

    @property
    def until(self) -> float:
        """When it was over, at the latest."""
        return math.inf if self.ended is None or self.lost else self.ended


@dataclass(frozen=True, slots=True)
class Interruption:
    """What happened to a client's server, besides calls, and when.

    `killed`: it ended at once, and gave nothing back. `closed`: its input ended or it was told to end, so
    that it gives its claims back. `stopped` and `continued`: it stood still between the two.
    """

    client: str
    change: Change
    at: float


@dataclass(slots=True)
class Connection:
    """One client with its server: the name that its claims are made under (if any), and its lease in seconds."""

    client: str
    agent: str | None = None
    lease: float = 120.0
    interruptions: list[Interruption] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Start:
    """A feature as it was before the first call: its state, and what it depends on."""

    one: Sketch = field(default_factory=Sketch)
    needs: frozenset[int] = frozenset()


@dataclass(slots=True)
class History:
    """Every call of every client on one project, and what else must be known to judge them.

    `back_off` in seconds, or None where it is not judged because wall clocks were changed.
    """

    limits: Limits = field(default_factory=Limits)
    back_off: float | None = 30.0
    max_claims: int = 1
    max_claims_per_connection: int = 16
    start: dict[int, Start] = field(default_factory=dict)
    connections: dict[str, Connection] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Keep the history in a file."""
        with path.open("w", encoding="utf-8") as file:
            for line in self._lines():
                put(file, line)

    def _lines(self) -> Iterator[dict[str, Any]]:
        rules = {"max_claims": self.max_claims, "max_claims_per_connection": self.max_claims_per_connection}
        yield {"limits": asdict(self.limits), "back_off": self.back_off, **rules}
        for number, start in self.start.items():
            yield {"feature": number, "one": asdict(start.one), "needs": sorted(start.needs)}
        for one in self.connections.values():
            yield {"connection": one.client, "agent": one.agent, "lease": one.lease}
            for change in one.interruptions:
                yield {"interruption": change.change, "client": change.client, "at": change.at}
        for call in self.calls:
            yield sent(call)
            if call.ended is not None:
                yield answered(call)

    @classmethod
    def read(cls, paths: Iterable[Path]) -> History:
        """The history that files tell together; each process may write one of its own.

        A last line that was cut off, since its writer was killed, counts as not written.
        """
        history = cls()
        open_: dict[tuple[str, int], dict[str, Any]] = {}
        for path in paths:
            *lines, _ = path.read_bytes().split(b"\n")
            for line in lines:
                history._take(json.loads(line), open_)
        calls = (Call(**fields) for fields in open_.values())
        history.calls = sorted(calls, key=lambda call: call.begun)
        return history

    def _take(self, line: dict[str, Any], calls: dict[tuple[str, int], dict[str, Any]]) -> None:
        match line:
            case {"limits": limits}:
                self.limits, self.back_off = Limits(**limits), line["back_off"]
                self.max_claims = line["max_claims"]
                self.max_claims_per_connection = line["max_claims_per_connection"]
            case {"feature": number}:
                self.start[number] = Start(_sketch(line["one"]), frozenset(line["needs"]))
            case {"connection": client}:
                known = self.connection(client)
                known.agent, known.lease = line["agent"], line["lease"]
            case {"interruption": change}:
                client = line["client"]
                self.connection(client).interruptions.append(Interruption(client, change, line["at"]))
            case _:
                calls.setdefault((line["client"], line["number"]), {}).update(line)

    def over_by(self, call: Call) -> float:
        """When a call had taken effect, at the latest, or never will: a lost one soon after its server's end."""
        if not call.lost:
            return call.until
        ends = [
            one.at for one in self.connection(call.client).interruptions if one.change in ("killed", "closed")
        ]
        return max(call.begun, min(ends)) + AFTERLIFE if ends else math.inf

    def connection(self, client: str) -> Connection:
        """What is known of a client."""
        return self.connections.setdefault(client, Connection(client))


def sent(call: Call) -> dict[str, Any]:
    """The line that is written before a call is sent."""
    return {
        "client": call.client,
        "number": call.number,
        "tool": call.tool,
        "arguments": call.arguments,
        "begun": call.begun,
    }


def answered(call: Call) -> dict[str, Any]:
    """The line that is written when its answer has come."""
    return {
        "client": call.client,
        "number": call.number,
        "ended": call.ended,
        "answer": call.answer,
        "refused": call.refused,
    }


def put(file: TextIO, line: dict[str, Any]) -> None:
    """Write one line."""
    file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def _sketch(fields: dict[str, Any]) -> Sketch:
    token, kind = fields.pop("ended")
    was, status = fields.pop("archived_from"), Status(fields.pop("status"))
    return Sketch(
        **fields,
        status=status,
        archived_from=Status(was) if was else None,
        ended=(token, Kind(kind) if kind else None),
    )
