"""The published context budget is the measured one."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import tokens

pytestmark = pytest.mark.only_on("sqlite", reason="definitions and answers have the same size on both engines")

PAGE = Path(__file__).parents[2] / "docs" / "internals" / "context-budget.md"


def test_the_published_sizes_are_those_of_a_real_server_and_within_their_budgets(tmp_path: Path) -> None:
    """The page's table is what `make tokens` prints, and every size is within its budget."""
    rows = tokens.measure(tmp_path)
    assert [row.what for row in rows if row.missed] == []
    table = PAGE.read_text(encoding="utf-8").partition(tokens.BEGIN)[2].partition(tokens.END)[0].strip()
    assert tokens.table(rows) == table, f"renew it: python -m bench.tokens --markdown {PAGE.name}"
