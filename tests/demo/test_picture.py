"""The picture fits the terminal, and says who is at what."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from dibs_proof.checks.observations import Holding
from dibs_proof.demo.picture import picture, progress
from dibs_proof.demo.scene import Doing, Scene, Seat


def scene(agents: int) -> Scene:
    """A scene in which the last agent is dead and all the others are at work."""
    seats = [Seat(f"agent-{number}", Doing.WORKING) for number in range(1, agents + 1)]
    now = time.monotonic()
    for seat in seats:
        seat.holding = Holding(
            7, "A feature with a name that is rather long", seat.name, "t", now, now, now + 2.55
        )
    seats[-1].doing = Doing.DEAD
    return Scene(
        total=64, seats=seats, lease=3, counts={"passing": 30, "archived": 2, "ready": 4, "stuck": 1}
    )


def lines(agents: int, width: int, height: int) -> list[str]:
    """The picture on a terminal of that size."""
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(picture(scene(agents), width, height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("agents", "width", "height"), [(8, 80, 24), (8, 200, 50), (64, 80, 24), (64, 100, 40)]
)
def test_the_picture_fits_the_terminal(agents: int, width: int, height: int) -> None:
    """However many agents there are, the bar and the dead agent stay in sight."""
    drawn = lines(agents, width, height)
    assert len(drawn) <= height
    assert max(map(len, drawn)) <= width
    assert any(
        f"agent-{agents}" in line and "killed" in line and "lease ends in 2." in line for line in drawn
    )
    assert "32/64" in drawn[-2]


def test_the_progress_in_one_line_names_only_what_there_is() -> None:
    """Archived features count as done, and nothing is said of what does not occur."""
    assert progress(scene(2)) == "32 of 64 features are done, 4 ready, 1 stuck"
