"""Turns a sequence of tasks into dependencies: few for each task, however many tasks come before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dibs.transfer.formats.entry import Dependency, Entry
from dibs_schema.project_settings import ProjectSettings

WIDEST: Final = ProjectSettings().max_dependencies
"""The number of tasks that the next one waits for, at most: more parallel tasks are done in waves of as many."""


@dataclass(frozen=True, slots=True)
class Step:
    """A task, its place in the list of entries, and whether it is parallel to its neighbours of the same phase."""

    place: int
    entry: Entry
    parallel: bool


def in_order(steps: Sequence[Step]) -> None:
    """Let each task depend on the one before it, or on all parallel ones before it.

    Parallel neighbours in one phase do not depend on each other, but on what comes before them.
    """
    before: list[Step] = []
    wave: list[Step] = []
    for step in steps:
        if not wave or not _together(wave[-1], step) or len(wave) == WIDEST:
            before, wave = wave, []
        wave.append(step)
        known = {one.reference for one in step.entry.dependencies}
        step.entry.dependencies += [
            Dependency(one.place, step.entry.path) for one in before if one.entry.reference not in known
        ]


def _together(one: Step, other: Step) -> bool:
    return one.parallel and other.parallel and one.entry.phase == other.entry.phase
