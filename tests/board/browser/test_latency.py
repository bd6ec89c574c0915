"""How soon a change is on the page."""

from __future__ import annotations

import pytest
from bench.board import BOUND, Watched, agents_on, work
from bench.figures import Promise

from board.browser.windows import CHROMIUM, NOT_INSTALLED
from races.backlog import times


@pytest.mark.timing
@pytest.mark.skipif(CHROMIUM is None, reason=NOT_INSTALLED)
@pytest.mark.only_on("sqlite", reason="the bound is for a file; a server is as quick")
def test_a_pass_is_on_the_page_within_half_a_second(db: str) -> None:
    """From an agent's call to the changed page, 99 of 100 passes take at most half a second."""
    watched, passes = Watched(), times(13, 30)
    with agents_on(db, times(8, 20), passes) as workers:
        work(db, workers, times(1, 10), passes, watched)
    waits = Promise("passes", watched.changes, BOUND)
    print(*waits.row())
    assert not waits.missed, waits.row()
