"""`dibs top`: the overview, live on the whole terminal, with keys to answer a question and to free a claim."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import click

from dibs.cli.answer import answer_at_terminal, settings_of_person
from dibs.cli.escaped_text import one_line
from dibs.cli.live_overview import LiveOverview
from dibs.cli.options import PLACE, backlog, say_refusals, settings_options
from dibs.cli.shell_wording import SHELL
from dibs.cli.terminal_text import acknowledgement_text, can_draw
from dibs.cli.top_frame import Choice, Frame, entries_of
from dibs.relative_time import span
from dibs.session.caller import Caller
from dibs.session.issued_tokens import ClaimMemory
from dibs.session.session import Session
from dibs_schema.answers import Acknowledgement, LiveClaim, PendingQuestion
from dibs_schema.operations import BY_TOOL, read_arguments
from dibs_schema.refusals import InvalidInput, Refusal

if TYPE_CHECKING:
    from dibs.platform.terminal_screen import Screen

RELEASE = BY_TOOL["feature_clear_in_progress"]
TICK = 1.0
"""Seconds between two drawings without a change: times pass."""


@click.command()
@settings_options("role", *PLACE)
@say_refusals
def top(**flags: Any) -> None:
    """Show the overview live on the whole terminal, and act: answer a question, free a claim.

    Your own name is recorded for what you do.
    """
    if not (can_draw() and sys.stdin.isatty()):
        raise InvalidInput(
            "dibs top draws on a terminal, and standard input and output are none that it can draw on "
            f"(TERM={os.environ.get('TERM', '')}). `dibs status` prints the same once, and `dibs status --watch` "
            "prints each change."
        )
    from dibs.platform.terminal_screen import Screen

    try:
        screen = Screen()
    except OSError:
        raise InvalidInput("dibs top needs a POSIX terminal. Here `dibs status --watch` shows the same.") from None
    live = LiveOverview(flags, screen.wake)
    with suppress(KeyboardInterrupt, EOFError), screen:
        Top(flags, screen, live).run()


class Top:
    """One run of `dibs top`: what the person has chosen, and what the foot of the screen says."""

    def __init__(self, flags: dict[str, Any], screen: Screen, live: LiveOverview) -> None:
        self._flags = flags
        self._screen = screen
        self._live = live
        self._choice = Choice()
        self._frame: Frame | None = None
        self._is_typing = False
        self._to_free: LiveClaim | None = None
        self._message = ""
        self._worker = ThreadPoolExecutor(1)
        self._freeing: Future[str] | None = None
        self._is_over = False

    def run(self) -> None:
        """Draw the overview and react to keys until the person quits. Raises what `Screen.keys` raises."""
        self._live.start()
        try:
            while not self._is_over:
                self._live.check()
                self._collect()
                self._draw()
                for key in self._screen.keys(TICK):
                    self._press(key)
        finally:
            self._live.close()
            self._worker.shutdown(wait=False, cancel_futures=True)

    def _draw(self) -> None:
        live, (width, height) = self._live, self._screen.size
        age = time.monotonic() - live.read_at
        self._frame = Frame(live.moment, age, self._choice, width, height)
        self._screen.draw(self._frame.lines(self._state()))

    def _state(self) -> str:
        """Return the most important message for the foot of the screen."""
        if self._to_free is not None:
            one = self._to_free
            held = span((self._live.moment.overview.at - one.claimed_at).total_seconds())
            return f"Free {one.id} {one_line(one.name)}, held by {one_line(one.agent)} for {held}? y/n"
        if self._is_typing:
            return f"Show lines with: {one_line(self._choice.text)}_"
        if self._live.lost is not None:
            reason, since = self._live.lost
            return f"Not connected for {span(time.monotonic() - since)}: {one_line(reason)}"
        if self._message:
            return one_line(self._message)
        return f"Lines with {one_line(self._choice.text)}; Esc shows all." if self._choice.text else ""

    def _press(self, key: str) -> None:
        self._message = ""
        if self._to_free is not None:
            self._confirm(key)
        elif self._is_typing:
            self._type(key)
        elif key == "q":
            self._is_over = True
        elif key == "/":
            self._is_typing = True
        elif key == "escape":
            self._choice = Choice()
        elif key in ("a", "enter"):
            self._answer()
        elif key == "f":
            self._ask_to_free()
        elif self._frame is not None:
            self._choice = self._frame.moved(key)
            self._draw()  # the next key moves on from here

    def _type(self, key: str) -> None:
        """Edit the text by which the lines are filtered."""
        text = self._choice.text
        if key in ("enter", "escape"):
            self._is_typing = False
        edited = {"enter": text, "escape": "", "clear": "", "backspace": text[:-1]}
        if key in edited or len(key) == 1:
            self._choice = Choice(text=edited.get(key, text + key))

    def _chosen(self, kind: type[Any]) -> Any:
        """Return the chosen claim or question, the only one shown, or None."""
        shown = [entry for entry in entries_of(self._live.moment, self._choice) if isinstance(entry.about, kind)]
        chosen = [entry for entry in shown if entry.line[0] == self._choice.first] or (shown if len(shown) == 1 else [])
        return chosen[0].about if chosen else None

    def _answer(self) -> None:
        """Leave the screen to ask for the answers, and come back."""
        question: PendingQuestion | None = self._chosen(PendingQuestion)
        if question is None:
            self._message = "Choose a question with the arrow keys."
            return
        self._screen.leave()
        try:
            self._message = answer_at_terminal(self._flags, question.id, question.question_id)
        except Refusal as refusal:
            self._message = refusal.worded(SHELL, "Run")
        except click.Abort:
            self._message = "Not answered."
        finally:
            self._screen.enter()

    def _ask_to_free(self) -> None:
        self._to_free = self._chosen(LiveClaim)
        if self._to_free is None:
            self._message = "Choose a claim with the arrow keys."

    def _confirm(self, key: str) -> None:
        """Free the claim if the person wants it and nobody else has claimed the feature since the question."""
        asked, self._to_free = self._to_free, None
        assert asked is not None, "the question was asked"
        same = {(one.id, one.claimed_at) for one in self._live.moment.overview.claims}
        if key not in ("y", "Y"):
            self._message = "Not freed."
        elif (asked.id, asked.claimed_at) not in same:
            self._message = f"That claim of {asked.id} has ended by itself."
        elif self._freeing is not None:
            self._message = "The other claim is not yet freed. Try again."
        else:
            self._message = f"Freeing {asked.id} …"
            self._freeing = self._worker.submit(_free, self._flags, asked)
            self._freeing.add_done_callback(lambda _: self._screen.wake())

    def _collect(self) -> None:
        """Report what became of the claim that was to be freed."""
        if self._freeing is None or not self._freeing.done():
            return
        try:
            self._message = self._freeing.result()
        except Refusal as refusal:
            self._message = refusal.worded(SHELL, "Run")
        self._freeing = None


def _free(flags: dict[str, Any], claim: LiveClaim) -> str:
    """End another's claim, as `dibs release --force` does, and return what has become of the feature."""
    settings = settings_of_person(flags)
    with backlog(flags) as database:
        session = Session(database, settings, Caller.in_shell(settings), ClaimMemory(), wording=SHELL)
        seen = claim.claimed_at.isoformat()
        arguments = read_arguments(RELEASE, {"feature_id": claim.id, "force": True, "unless_claimed_since": seen})
        done = anyio.run(session.perform, RELEASE, arguments)
    assert isinstance(done, Acknowledgement), "the operation's only answer"
    return acknowledgement_text(done)
