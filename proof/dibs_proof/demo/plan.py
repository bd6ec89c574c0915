"""What is decided before the curtain rises: how many agents, and what becomes of each attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random

SHORTEST_WORK, LONGEST_WORK = 0.005, 0.040
"""Seconds that building a feature is pretended to take."""

STUBBORN = 3
"""Failures in a row that make a feature stuck; the project's default `max_failures`."""


class Fate(StrEnum):
    """How an attempt at a feature ends."""

    PASS = "pass"  # noqa: S105 - an outcome
    FAIL = "fail"
    SKIP = "skip"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for: `agents` servers on the database `db`, leases of `lease` seconds, and the seed.

    A play in which nothing happens for `patience` seconds is broken off.
    """

    agents: int
    lease: float
    seed: int
    db: Path
    patience: float

    @classmethod
    def of(cls, agents: int, lease: float, seed: int, db: Path) -> Plan:
        """The plan with a patience that slow machines and long leases do not exhaust."""
        return cls(agents, lease, seed, db, patience=max(60.0, 5 * lease, 3.0 * agents))


def script(features: Sequence[int], seed: int) -> dict[int, tuple[Fate, ...]]:
    """How the first attempts at some features end; all the others pass, so the backlog always drains.

    The same features and seed give the same script, whoever gets which feature. From eight features on,
    every fate occurs: one feature in 32 fails until it is stuck, and in 16 each one fails once,
    one is skipped and one asks a person.
    """
    shuffled = Random(seed).sample(sorted(features), len(features))
    rare, seldom = (max(len(features) // share, len(features) // 8 > 0) for share in (32, 16))
    parts = (
        ((Fate.FAIL,) * STUBBORN, rare),
        ((Fate.FAIL,), seldom),
        ((Fate.SKIP,), seldom),
        ((Fate.ASK,), seldom),
    )
    written: dict[int, tuple[Fate, ...]] = {}
    for fates, count in parts:
        written |= dict.fromkeys(shuffled[:count], fates)
        shuffled = shuffled[count:]
    return written


def work_time(seed: int, feature: int, attempt: int) -> float:
    """The seconds that this attempt takes."""
    return Random(f"{seed}:{feature}:{attempt}").uniform(SHORTEST_WORK, LONGEST_WORK)
