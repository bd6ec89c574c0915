"""A hundred agents that think between calls: the latency of a claim, against a no-op call to as many stock servers."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from bench import backlogs
from bench.adapters import content
from bench.driver import NOOP, Failed, Timed, dibs
from bench.figures import Measured, Promise, rank
from bench.fleet import Agent, Call, Fleet, Pause

THINKING = 0.1
ABOVE_BOUND = 0.05
WINDOWS = 5
"""Parts of the run, each with its own p99."""
WARM_UP = 2.0
"""Seconds until the agents no longer act in step."""
FEATURES = 20_000
"""More than the agents can claim."""
SERVER_MEMORY = 100 * 1024
"""KiB for each server; fewer agents run if memory is short."""


@dataclass(frozen=True, slots=True)
class Effort:
    """The number of agents, and the seconds for which they work."""

    agents: int
    seconds: float


FULL = Effort(agents=100, seconds=30)
QUICK = Effort(agents=20, seconds=6)


def measure(folder: Path, effort: Effort) -> Iterator[Measured]:
    """Run the servers whose agents claim and pass, then as many stock servers; never both at once."""
    path = backlogs.make_large(folder / "agents.db", FEATURES)
    agents = min(effort.agents, max(2, _available() // SERVER_MEMORY))
    who = f"{agents} agents that think for {THINKING * 1e3:g} ms"
    claims = [_Times() for _ in range(agents)]
    with Fleet(dibs(path), agents) as fleet:
        fleet.at_once(Call("feature_get_stats"))  # every server has opened its database
        end = time.perf_counter() + WARM_UP + effort.seconds
        fleet.work([_claim_and_pass(times, end) for times in claims])
    noops = [_Times() for _ in range(agents)]
    with Fleet(NOOP, agents) as fleet:
        fleet.at_once(Call("noop"))
        end = time.perf_counter() + WARM_UP + effort.seconds
        fleet.work([_call_noop(times, end) for times in noops])
    ours, theirs = _windows(claims, effort.seconds), _windows(noops, effort.seconds)
    claimed, idle = list(chain.from_iterable(ours)), list(chain.from_iterable(theirs))
    yield Promise(f"a claim among {who}", claimed)
    yield Promise(f"a no-op call among {who}", idle)
    yield Promise(f"p99 of a claim among {who}, above the no-op's", [_above(claimed, idle)], ABOVE_BOUND)
    yield Promise("the same, in each fifth of the time", list(map(_above, ours, theirs)))


def _above(claims: list[float], noops: list[float]) -> float:
    return rank(claims, 0.99) - rank(noops, 0.99)


def _available() -> int:
    """Return the memory in KiB that is left for new processes. Source: MemAvailable in proc_meminfo(5)."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


class _Times(list[tuple[float, float]]):
    """The calls of one agent: the end of each in seconds before the end of the run, and its duration."""

    def record(self, timed: Timed, end: float) -> None:
        self.append((end - timed.came, timed.seconds))


def _windows(agents: list[_Times], seconds: float) -> list[list[float]]:
    windows: list[list[float]] = [[] for _ in range(WINDOWS)]
    for times in agents:
        for before, took in times:
            place = int(before / seconds * WINDOWS)
            if 0 <= place < WINDOWS:  # otherwise the call belongs to the warm-up, or ended too late
                windows[place].append(took)
    if not all(windows):
        raise Failed(f"no call was answered for {seconds / WINDOWS:g} s")
    return windows


def _claim_and_pass(times: _Times, end: float) -> Agent:
    yield Pause(random.uniform(0, THINKING))
    passed = 0
    while time.perf_counter() < end:
        timed = yield Call("feature_claim_and_get")
        assert timed is not None, "calls are answered"
        times.record(timed, end)
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


def _call_noop(times: _Times, end: float) -> Agent:
    yield Pause(random.uniform(0, THINKING))
    calls = 0
    while time.perf_counter() < end:
        timed = yield Call("noop")
        assert timed is not None, "calls are answered"
        times.record(timed, end)
        calls += 1
        yield Pause(THINKING)
    return calls
