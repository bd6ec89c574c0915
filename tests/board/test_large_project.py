"""Every page is fast, however many features there are, also with a filter that fits many, few or none."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from bench.backlogs import make_large

from board.people import Person, board_on

pytestmark = [
    pytest.mark.only_on("sqlite", reason="the rows are inserted as this engine makes numbers and texts"),
    pytest.mark.skipif(sys.platform != "linux", reason="it reads the processor time from /proc"),
]

FEATURES, PASSING, BLOCKED = 100_000, 60_000, 20_000
NEEDED, BLOCKED_ONE = FEATURES, PASSING + 10
"""A feature on which 20,000 wait, and one of those."""
FIRST_BYTE = 0.150
"""Seconds."""
FILTERS = ("agent=bench", "agent=nobody", "text=feature", "text=ref-0999", "text=none", "category=area+3")
PATHS = (
    *("/", "/events", "/events?agent=bench", "/add", "/board", "/board?state=waiting"),
    *(f"/board?{one}" for one in (*FILTERS, "text=feature&agent=bench&category=area+3")),
    *(f"/list?{one}&state={state}" for one in FILTERS for state in ("ready", "passing")),
    *(f"/feature/{one}{more}" for one in (NEEDED, BLOCKED_ONE) for more in ("", "/graph")),
    *("/list", "/list?state=passing"),
)


@pytest.mark.timeout(300)
def test_the_first_byte_of_each_page_comes_at_once(tmp_path: Path) -> None:
    """The board's processor time for the second of two requests: others may use the machine during the test."""
    missed = dict[str, float]()
    db = make_large(tmp_path / "features.db", FEATURES, passing=PASSING, blocked=BLOCKED)
    with board_on(str(db)) as board, Person(board) as person:
        person.enter()
        for path in PATHS:
            assert person.get(path).status_code == 200
            before = _processor_time(board.process.pid)
            person.get(path)
            used = _processor_time(board.process.pid) - before
            if used >= FIRST_BYTE:
                missed[path] = used
    assert missed == {}


def _processor_time(pid: int) -> float:
    """Return the seconds of processor time that a process has used, as proc(5) has them."""
    user, system = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
