"""The picture: who is at what, and how far the backlog is."""

from __future__ import annotations

import time

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dibs_proof.demo.scene import PERSON, Doing, Scene, Seat

STYLES = {Doing.WORKING: "cyan", Doing.DEAD: "bold red", Doing.BACK: "yellow", Doing.DONE: "green"}
IDLE = "dim"
COUNTED = {"in_progress": "held", "ready": "ready", "needs_human": "waiting for a person", "stuck": "stuck"}
BAR, WIDEST = 50, 100
"""Columns of the progress bar, and of the picture at most."""
BESIDE = 9
"""Lines of the picture beside the agents'."""


def picture(scene: Scene, width: int, height: int) -> RenderableType:
    """The agents, one in each line, above a bar; no larger than `width` columns and `height` lines."""
    table = Table(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", width=min(width, WIDEST)
    )
    table.add_column("", width=6)
    table.add_column("", no_wrap=True)
    table.add_column("", min_width=19, no_wrap=True)
    table.add_column("feature", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("claims", justify="right", no_wrap=True)
    table.add_column("passed", justify="right", no_wrap=True)
    shown = _fitting(scene.seats, height)
    for seat in shown:
        style = STYLES.get(seat.doing, IDLE)
        table.add_row("", seat.name, *_at(seat), str(seat.claims), str(seat.passed), style=style)
    if hidden := len(scene.seats) - len(shown):
        table.add_row("", f"and {hidden} more", style=IDLE)
    helped = f"answered {scene.answers}, put back {scene.retries}"
    table.add_row("", PERSON, "looks after them", helped, "", "", style=IDLE)
    return Group("", table, "", _bar(scene), Text(f"        {progress(scene)}", style=IDLE))


def _fitting(seats: list[Seat], height: int) -> list[Seat]:
    """As many agents as have room, and always the one that was killed."""
    room = max(3, height - BESIDE)
    if len(seats) <= room:
        return seats
    return sorted(seats, key=lambda seat: seat.doing not in (Doing.DEAD, Doing.BACK))[:room]


def _at(seat: Seat) -> tuple[str, str]:
    if seat.holding is None:
        return str(seat.doing), ""
    feature = f"{seat.holding.feature} {seat.holding.name}"
    if seat.doing is not Doing.DEAD:
        return str(seat.doing), feature
    left = (seat.holding.until or 0) - time.monotonic()
    return str(seat.doing), f"{f'lease ends in {left:.1f} s' if left > 0 else 'lease has run out'}: {feature}"


def _bar(scene: Scene) -> RenderableType:
    starting = scene.started < len(scene.seats)
    total, done = (len(scene.seats), scene.started) if starting else (scene.total, scene.finished)
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=6)
    row.add_row("", ProgressBar(total=max(total, 1), completed=done, width=BAR), f"{done}/{total}")
    return row


def progress(scene: Scene) -> str:
    """How far it is, in one line."""
    if scene.started < len(scene.seats):
        return f"{scene.started} of {len(scene.seats)} servers are up"
    counted = [f"{scene.counts[name]} {words}" for name, words in COUNTED.items() if scene.counts.get(name)]
    return ", ".join([f"{scene.finished} of {scene.total} features are done", *counted])
