"""One drawing of `dibs top`: which lines of the overview are in sight, the latest events, and the foot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.segment import Segment, Segments
from rich.text import Text

from dibs.cli.look import event_line
from dibs.cli.overview_text import CHOSEN, Entry, Part, contains, overview_parts, overview_text
from dibs.cli.terminal_text import console
from dibs.relative_time import ago

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dibs.cli.live_overview import Moment

KEYS = "q quit  ↑↓ choose  a answer  f free  / filter  PgUp PgDn scroll"
PLAIN_KEYS = KEYS.replace("↑↓", "j/k")
"""The keys, for streams that cannot print arrows."""
EVENTS, HIGH = 5, 20
"""The latest events that are always in sight, on a terminal with at least so many lines."""
FOOT = 2


@dataclass(frozen=True, slots=True)
class Choice:
    """A person's choices: lines that contain `text`, from line `top` on, and the entry that begins with `first`.

    With `follows` the chosen entry stays in sight.
    """

    text: str = ""
    first: str | None = None
    top: int = 0
    follows: bool = False


def entries_of(moment: Moment, choice: Choice) -> list[Entry]:
    """Return the entries that can be chosen, in order."""
    return _entries([part.matching(choice.text) for part in overview_parts(moment.overview, moment.overview.at)])


def _entries(parts: list[Part]) -> list[Entry]:
    return [entry for part in parts for entry in part.entries if entry.about is not None]


class Frame:
    """The drawing of a moment that is `age` seconds old, for a terminal of `width` columns and `height` lines."""

    def __init__(self, moment: Moment, age: float, choice: Choice, width: int, height: int) -> None:
        self._out = console(width)
        self._choice = choice
        self._now = moment.overview.at + timedelta(seconds=age)
        self._height = height
        parts = [part.matching(choice.text) for part in overview_parts(moment.overview, self._now)]
        self._entries = _entries(parts)
        chosen = next((entry for entry in self._entries if entry.line[0] == choice.first), None)
        body = self._out.render_lines(
            overview_text(moment.overview, self._now, moment.notes, parts, chosen),
            self._out.options.update(width=width, no_wrap=False, overflow="fold"),
            pad=False,
        )
        self._body = [self._print(Segments(line)) for line in body]
        self._events = self._latest(moment) if height >= HIGH else []
        self._room = max(1, height - FOOT - len(self._events))
        lines = [number for number, line in enumerate(body) if any(map(_is_chosen, line))] if choice.follows else []
        top = min(lines[0], max(choice.top, lines[-1] - self._room + 1)) if lines else choice.top
        self._top = max(0, min(top, len(self._body) - self._room))

    def lines(self, state: str) -> list[str]:
        """Return the lines to draw. `state` is what the foot says above the keys."""
        end = self._top + self._room
        seen = self._body[self._top : end]
        seen += [""] * (self._room - len(seen))
        if len(self._body) > self._room:
            state = f"[{self._top + 1}-{min(end, len(self._body))} of {len(self._body)}] {state}".rstrip()
        keys = KEYS if self._out.encoding.startswith("utf") else PLAIN_KEYS
        drawn = [*seen, *self._events, self._cut(state, "bold"), self._cut(keys, "dim")]
        return drawn[-self._height :]

    def moved(self, key: str) -> Choice:
        """Return the choice after a key was pressed, given what is in sight."""
        page = max(1, self._room - 1)
        steps = {"page up": -page, "page down": page, " ": page, "home": -len(self._body), "end": len(self._body)}
        if key in steps:
            return replace(self._choice, top=max(0, self._top + steps[key]), follows=False)
        if key not in ("up", "k", "down", "j") or not self._entries:
            return self._choice
        firsts = [entry.line[0] for entry in self._entries]
        step = -1 if key in ("up", "k") else 1
        place = firsts.index(self._choice.first) + step if self._choice.first in firsts else 0
        return replace(self._choice, first=firsts[max(0, min(place, len(firsts) - 1))], top=self._top, follows=True)

    def _latest(self, moment: Moment) -> list[str]:
        lines = [f"{ago(event.at, self._now):>14}  {event_line(event)}" for event in moment.events]
        shown = [line for line in lines if contains(line, self._choice.text)][:EVENTS]
        shown += [""] * (EVENTS - len(shown))
        return [self._cut("last events", "dim"), *map(self._cut, shown)]

    def _cut(self, text: str, style: str = "") -> str:
        line = Text(text, style)
        line.truncate(self._out.width, overflow="crop")
        return self._print(line)

    def _print(self, shown: RenderableType) -> str:
        with self._out.capture() as captured:
            self._out.print(shown, end="")
        return captured.get()


def _is_chosen(segment: Segment) -> bool:
    return segment.style is not None and segment.style.meta == CHOSEN
