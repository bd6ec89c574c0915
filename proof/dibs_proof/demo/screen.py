"""The screen of a demo: the activity of each agent and the progress, redrawn on a terminal, as plain lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dibs_proof.holding import Holding

PERSON = "person"
"""The agent name of the person's connection."""
PAUSE = 1.0
"""Seconds between two plain lines about the progress."""


class Activity(StrEnum):
    """The activity of an agent."""

    STARTING = "starting its server"
    READY = "ready"
    ASKING = "asks for work"
    WAITING = "waits for work"
    WORKING = "works on"
    REPORTING = "reports"
    KILLED = "killed"
    RESTARTED = "back, held"
    DONE = "done"


class Tone(StrEnum):
    """The tone of a line: good news, bad news, or neither."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"


TONES = {Tone.PLAIN: "", Tone.GOOD: "green", Tone.BAD: "bold red"}
STYLES = {Activity.WORKING: "cyan", Activity.KILLED: "bold red", Activity.RESTARTED: "yellow", Activity.DONE: "green"}
DIM = "dim"
COUNTED = {"in_progress": "held", "ready": "ready", "needs_human": "waiting for a person", "stuck": "stuck"}
BAR_WIDTH, LONGEST_LINE = 50, 100
OTHER_LINES = 9
"""The number of lines of the table and the bar without the agents."""


@dataclass(slots=True)
class AgentStatus:
    """One agent: its activity, its server's process id, and the numbers of its claims and passes."""

    name: str
    activity: Activity = Activity.STARTING
    pid: int | None = None
    holding: Holding | None = None
    claims: int = 0
    passed: int = 0

    def set(self, activity: Activity, holding: Holding | None = None) -> None:
        """Set what the agent does now."""
        self.activity, self.holding = activity, holding


@dataclass(slots=True)
class Progress:
    """What a screen draws; `counts` are the features by status, as a server last reported them."""

    total: int
    agents: list[AgentStatus]
    lease: float
    counts: dict[str, int] = field(default_factory=dict)
    answers: int = 0
    retries: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Return the seconds since the demo began."""
        return time.monotonic() - self.began

    @property
    def started(self) -> int:
        """Return how many servers have started."""
        return sum(agent.activity is not Activity.STARTING for agent in self.agents)

    @property
    def finished(self) -> int:
        """Return how many features are done."""
        return self.counts.get("passing", 0) + self.counts.get("archived", 0)


class Screen(Protocol):
    """A display of the demo: it prints lines that stay, and shows the progress."""

    def say(self, line: str, tone: Tone = Tone.PLAIN) -> None:
        """Print a line that stays."""

    def draw(self, progress: Progress) -> None:
        """Show the progress; called about ten times a second."""


class PlainScreen:
    """Plain lines, each with the seconds since the demo began, and a line about the progress every second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = self._printed_at = time.monotonic()
        self._printed = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, line: str, tone: Tone = Tone.PLAIN) -> None:
        """Print a line without wrapping it, so that it can be searched for."""
        since = f"{time.monotonic() - self._began:6.1f} s"
        self._console.print(Text.assemble((since, DIM), "  ", (line, TONES[tone])), soft_wrap=True)

    def draw(self, progress: Progress) -> None:
        """Print the progress, unless it was printed a moment ago."""
        line = summary(progress)
        if line != self._printed and time.monotonic() - self._printed_at >= PAUSE:
            self._printed, self._printed_at = line, time.monotonic()
            self.say(line)


class LiveScreen:
    """A table of all agents that is redrawn below the lines that stay."""

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
        """Print a line above the table, with its time in a column of its own."""
        row = Table.grid(padding=(0, 2))
        row.add_column(justify="right", style=DIM, min_width=8, no_wrap=True)
        row.add_column()
        row.add_row(f"{time.monotonic() - self._began:.1f} s", Text(line, style=TONES[tone]))
        self._console.print(row)

    def draw(self, progress: Progress) -> None:
        """Redraw the table."""
        self._live.update(table_of(progress, *self._console.size), refresh=True)


def screen_for(console: Console) -> PlainScreen | LiveScreen:
    """Return a live screen for a terminal, or a plain one for other consoles."""
    return LiveScreen(console) if console.is_terminal and not console.is_dumb_terminal else PlainScreen(console)


def table_of(progress: Progress, width: int, height: int) -> RenderableType:
    """Return the agents, one a line, above a bar; no larger than `width` columns and `height` lines."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style=DIM, width=min(width, LONGEST_LINE))
    table.add_column("", width=6)
    table.add_column("", no_wrap=True)
    table.add_column("", min_width=19, no_wrap=True)
    table.add_column("feature", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("claims", justify="right", no_wrap=True)
    table.add_column("passed", justify="right", no_wrap=True)
    shown = _shown(progress.agents, height)
    for agent in shown:
        style = STYLES.get(agent.activity, DIM)
        table.add_row("", agent.name, *_activity(agent), str(agent.claims), str(agent.passed), style=style)
    if hidden := len(progress.agents) - len(shown):
        table.add_row("", f"and {hidden} more", style=DIM)
    helped = f"answered {progress.answers}, retried {progress.retries}"
    table.add_row("", PERSON, "helps them", helped, "", "", style=DIM)
    return Group("", table, "", _bar(progress), Text(f"        {summary(progress)}", style=DIM))


def _shown(agents: list[AgentStatus], height: int) -> list[AgentStatus]:
    """Return the agents that fit on the screen, and always the killed agent."""
    room = max(3, height - OTHER_LINES)
    if len(agents) <= room:
        return agents
    killed = (Activity.KILLED, Activity.RESTARTED)
    return sorted(agents, key=lambda agent: agent.activity not in killed)[:room]


def _activity(agent: AgentStatus) -> tuple[str, str]:
    if agent.holding is None:
        return str(agent.activity), ""
    feature = f"{agent.holding.feature} {agent.holding.name}"
    if agent.activity is not Activity.KILLED:
        return str(agent.activity), feature
    left = (agent.holding.until or 0) - time.monotonic()
    lease = f"lease ends in {left:.1f} s" if left > 0 else "lease has expired"
    return str(agent.activity), f"{lease}: {feature}"


def _bar(progress: Progress) -> RenderableType:
    starting = progress.started < len(progress.agents)
    done, total = (progress.started, len(progress.agents)) if starting else (progress.finished, progress.total)
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=6)
    row.add_row("", ProgressBar(total=max(total, 1), completed=done, width=BAR_WIDTH), f"{done}/{total}")
    return row


def summary(progress: Progress) -> str:
    """Return the progress of the demo as one line."""
    if progress.started < len(progress.agents):
        return f"{progress.started} of {len(progress.agents)} servers have started"
    counts = [f"{progress.counts[name]} {text}" for name, text in COUNTED.items() if progress.counts.get(name)]
    return ", ".join([f"{progress.finished} of {progress.total} features are done", *counts])
