"""Where the demo is shown: a picture that moves on a terminal, plain lines everywhere else."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dibs_proof.demo.picture import picture, progress
from dibs_proof.demo.scene import Scene, Tone

STYLES = {Tone.PLAIN: "", Tone.GOOD: "green", Tone.BAD: "bold red"}
PAUSE = 1.0
"""Seconds between two plain lines about the progress."""


class Lines:
    """Plain lines, each with the seconds since the demo began, and one about the progress every second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = self._told_at = time.monotonic()
        self._told = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is to be cleared away."""

    def say(self, line: str, tone: Tone = Tone.PLAIN) -> None:
        """Print a line, whole, so that it can be searched for."""
        since = f"{time.monotonic() - self._began:6.1f} s"
        self._console.print(Text.assemble((since, "dim"), "  ", (line, STYLES[tone])), soft_wrap=True)

    def draw(self, scene: Scene) -> None:
        """Say how far it is, unless that was just said."""
        line = progress(scene)
        if line != self._told and time.monotonic() - self._told_at >= PAUSE:
            self._told, self._told_at = line, time.monotonic()
            self.say(line)


class Picture:
    """A picture of all agents that is drawn anew each time, below the lines that stay."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, line: str, tone: Tone = Tone.PLAIN) -> None:
        """Print a line above the picture; where it is wrapped, it stays beside its time."""
        row = Table.grid(padding=(0, 2))
        row.add_column(justify="right", style="dim", min_width=8, no_wrap=True)
        row.add_column()
        row.add_row(f"{time.monotonic() - self._began:.1f} s", Text(line, style=STYLES[tone]))
        self._console.print(row)

    def draw(self, scene: Scene) -> None:
        """Draw the picture."""
        self._live.update(picture(scene, *self._console.size), refresh=True)


def screen_for(console: Console) -> Lines | Picture:
    """The screen that fits where `console` writes."""
    return Picture(console) if console.is_terminal and not console.is_dumb_terminal else Lines(console)
