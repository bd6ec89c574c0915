"""Many servers at once, driven by one thread, so that the driver costs every kind of server the same."""

from __future__ import annotations

import heapq
import select
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from bench.driver import Sent, Server, Timed


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool that may be refused."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pause:
    """Seconds in which an agent thinks."""

    seconds: float


Agent = Generator[Call | Pause, Timed | None, int]
"""One agent: it yields calls and pauses, receives the answer to each call, and returns a count."""


class Fleet:
    """`count` servers of the same command, started and initialized; the end of the block closes them."""

    def __init__(self, command: list[str], count: int) -> None:
        self._open = ExitStack()
        with self._open:  # if one fails, the others are closed
            self.servers = [self._open.enter_context(Server(command)) for _ in range(count)]
            for server in self.servers:
                server.initialize()
            self._open = self._open.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def call(self, call: Call) -> Timed:
        """Call a tool of the first server. Raises Failed if the server refuses."""
        return self.servers[0].call(call.tool, dict(call.arguments))

    def at_once(self, call: Call) -> list[Timed]:
        """Send the same call to every server, then collect the answers, in the order of the servers."""
        asked = [server.ask(call.tool, dict(call.arguments)) for server in self.servers]
        timed: list[Timed | None] = [None] * len(asked)
        places = {server.fileno(): place for place, server in enumerate(self.servers)}
        ready = select.poll()
        for descriptor in places:
            ready.register(descriptor, select.POLLIN)
        missing = len(asked)
        while missing:
            for descriptor, _ in ready.poll():
                place = places[descriptor]
                timed[place] = self.servers[place].receive(asked[place], refusals=True)
                ready.unregister(descriptor)
                missing -= 1
        return [one for one in timed if one is not None]

    def processor_seconds(self) -> float:
        """The CPU time that all servers have used so far."""
        return sum(server.processor_seconds() for server in self.servers)

    def work(self, agents: Sequence[Agent]) -> list[int]:
        """Let each agent work on its own server until it returns; return their counts."""
        return _Work(self.servers, agents).work()


class _Work:
    """Agents at work: each waits for an answer, or for the end of a pause."""

    def __init__(self, servers: Sequence[Server], agents: Sequence[Agent]) -> None:
        self._servers = servers
        self._agents = agents
        self._asked: dict[int, Sent] = {}
        self._pauses: list[tuple[float, int]] = []
        self._counts: dict[int, int] = {}
        self._places = {server.fileno(): place for place, server in enumerate(servers)}
        self._ready = select.poll()
        for descriptor in self._places:
            self._ready.register(descriptor, select.POLLIN)

    def work(self) -> list[int]:
        for place in range(len(self._agents)):
            self._go_on(place, None)
        while len(self._counts) < len(self._agents):
            for descriptor, _ in self._ready.poll(self._milliseconds()):
                place = self._places[descriptor]
                self._go_on(place, self._servers[place].receive(self._asked.pop(place), refusals=True))
            while self._pauses and self._pauses[0][0] <= time.perf_counter():
                self._go_on(heapq.heappop(self._pauses)[1], None)
        return [self._counts[place] for place in range(len(self._agents))]

    def _go_on(self, place: int, answer: Timed | None) -> None:
        try:
            step = self._agents[place].send(answer)
        except StopIteration as end:
            self._counts[place] = end.value
            return
        if isinstance(step, Pause):
            heapq.heappush(self._pauses, (time.perf_counter() + step.seconds, place))
        else:
            self._asked[place] = self._servers[place].ask(step.tool, dict(step.arguments))

    def _milliseconds(self) -> float | None:
        """Return the milliseconds until the next pause ends, or None without a pause."""
        return max(0.0, self._pauses[0][0] - time.perf_counter()) * 1e3 if self._pauses else None
