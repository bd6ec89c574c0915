"""Every page is fast, however many features there are, also with a filter that fits many, few or none."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from bench.backlogs import make_large
from bench.board import BLOCKED, FEATURES, FIRST_BYTE, PASSING, SCREENS

from board.people import Person, board_on

pytestmark = [
    pytest.mark.only_on("sqlite", reason="the rows are inserted as this engine makes numbers and texts"),
    pytest.mark.skipif(sys.platform != "linux", reason="it reads the processor time from /proc"),
]


@pytest.mark.timeout(300)
def test_the_first_byte_of_each_page_comes_at_once(tmp_path: Path) -> None:
    """The board's processor time for the second of two requests: others may use the machine during the test."""
    missed = dict[str, float]()
    db = make_large(tmp_path / "features.db", FEATURES, passing=PASSING, blocked=BLOCKED)
    with board_on(str(db)) as board, Person(board) as person:
        person.enter()
        for path in SCREENS:
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
