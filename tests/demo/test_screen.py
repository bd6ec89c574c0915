"""The table fits the terminal, and shows what each agent does."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from dibs_proof.demo.screen import Activity, AgentStatus, Progress, summary, table_of
from dibs_proof.holding import Holding


def progress(agents: int) -> Progress:
    """Return a progress in which the last agent is killed and all the others work."""
    statuses = [AgentStatus(f"agent-{number}", Activity.WORKING) for number in range(1, agents + 1)]
    now = time.monotonic()
    for status in statuses:
        status.holding = Holding(7, "A feature with a name that is rather long", status.name, "t", now, now, now + 2.55)
    statuses[-1].activity = Activity.KILLED
    return Progress(total=64, agents=statuses, lease=3, counts={"passing": 30, "archived": 2, "ready": 4, "stuck": 1})


def lines(agents: int, width: int, height: int) -> list[str]:
    """Return the lines of the table on a terminal of the given size."""
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(table_of(progress(agents), width, height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("agents", "width", "height"), [(8, 80, 24), (8, 200, 50), (64, 80, 24), (64, 100, 40)])
def test_the_table_fits_the_terminal(agents: int, width: int, height: int) -> None:
    """However many agents there are, the bar and the killed agent are shown."""
    drawn = lines(agents, width, height)
    assert len(drawn) <= height
    assert max(map(len, drawn)) <= width
    assert any(f"agent-{agents}" in line and "killed" in line and "lease ends in 2." in line for line in drawn)
    assert "32/64" in drawn[-2]


def test_the_summary_names_only_what_there_is() -> None:
    """Archived features count as done, and counts of zero are left out."""
    assert summary(progress(2)) == "32 of 64 features are done, 4 ready, 1 stuck"
