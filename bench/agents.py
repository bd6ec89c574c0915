"""A hundred agents that think: what a claim takes among them, beside a no-op call among as many stock servers."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from bench import bulk
from bench.adapters import content
from bench.driver import NOOP, Failed, Timed, dibs
from bench.figures import Measured, Promise, rank
from bench.fleet import Agent, Call, Fleet, Pause

THINKING = 0.1
ABOVE_BOUND = 0.05
WINDOWS = 5
"""Parts of the time, each with a p99 of its own."""
WARM_UP = 2.0
"""Seconds in which the agents fall out of step."""
ENOUGH = 20_000
"""Features: more than are claimed."""
EACH = 100 * 1024
"""KiB that a server may take; where there is not enough for all of them, there are fewer agents."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How many agents there are, and for how many seconds they work."""

    agents: int
    seconds: float


FULL = Effort(agents=100, seconds=30)
QUICK = Effort(agents=20, seconds=6)


def measure(folder: Path, effort: Effort) -> Iterator[Measured]:
    """First so many servers with agents that claim and pass, then as many stock servers; never both."""
    path = bulk.make(folder / "agents.db", ENOUGH)
    agents = min(effort.agents, max(2, _available() // EACH))
    who = f"{agents} agents that think for {THINKING * 1e3:g} ms"
    claims = [_Times() for _ in range(agents)]
    with Fleet(dibs(path), agents) as fleet:
        fleet.at_once(Call("feature_get_stats"))  # each has opened its database
        end = time.perf_counter() + WARM_UP + effort.seconds
        fleet.work([_claim_and_pass(times, end) for times in claims])
    noops = [_Times() for _ in range(agents)]
    with Fleet(NOOP, agents) as fleet:
        fleet.at_once(Call("noop"))
        end = time.perf_counter() + WARM_UP + effort.seconds
        fleet.work([_do_nothing(times, end) for times in noops])
    ours, theirs = _windows(claims, effort.seconds), _windows(noops, effort.seconds)
    every, idle = list(chain.from_iterable(ours)), list(chain.from_iterable(theirs))
    yield Promise(f"a claim among {who}", every)
    yield Promise(f"a no-op call among {who}", idle)
    yield Promise(f"p99 of a claim among {who}, above the no-op's", [_above(every, idle)], ABOVE_BOUND)
    yield Promise("the same, in each fifth of the time", list(map(_above, ours, theirs)))


def _above(claims: list[float], noops: list[float]) -> float:
    return rank(claims, 0.99) - rank(noops, 0.99)


def _available() -> int:
    """The memory in KiB that new processes can have. Source: MemAvailable in proc_meminfo(5)."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


class _Times(list[tuple[float, float]]):
    """When each call of one agent ended, in seconds before the end, and how long it took."""

    def keep(self, timed: Timed, end: float) -> None:
        self.append((end - timed.came, timed.seconds))


def _windows(agents: list[_Times], seconds: float) -> list[list[float]]:
    windows: list[list[float]] = [[] for _ in range(WINDOWS)]
    for times in agents:
        for before, took in times:
            place = int(before / seconds * WINDOWS)
            if 0 <= place < WINDOWS:  # else it warmed up, or came after the end
                windows[place].append(took)
    if not all(windows):
        raise Failed(f"there was a time of {seconds / WINDOWS:g} s without any answer")
    return windows


def _claim_and_pass(times: _Times, end: float) -> Agent:
    yield Pause(random.uniform(0, THINKING))
    passed = 0
    while time.perf_counter() < end:
        timed = yield Call("feature_claim_and_get")
        assert timed is not None, "calls are answered"
        times.keep(timed, end)
        claimed = content(timed)
        if claimed.get("state") != "claimed":
            raise Failed(f"a claim got nothing: {claimed}")
        yield Pause(THINKING)
        done = {"feature_id": claimed["feature"]["id"], "claim_token": claimed["claim"]["token"]}
        timed = yield Call("feature_mark_passing", done)
        if timed is None or timed.answer.get("isError"):
            raise Failed(f"a pass was refused: {timed}")
        passed += 1
        yield Pause(THINKING)
    return passed


def _do_nothing(times: _Times, end: float) -> Agent:
    yield Pause(random.uniform(0, THINKING))
    calls = 0
    while time.perf_counter() < end:
        timed = yield Call("noop")
        assert timed is not None, "calls are answered"
        times.keep(timed, end)
        calls += 1
        yield Pause(THINKING)
    return calls
