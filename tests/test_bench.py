"""The tables and the JSON of the benchmark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bench.__main__ import EXTRA, SECTIONS
from bench.figures import Figure, Measured, Promise, tables
from bench.report import BEGIN, END, Report

PROMISES: list[tuple[Measured, bool]] = [
    (Figure("slower than it may be", [3.0], [1.0], "ms", 2), True),
    (Figure("fast enough", [1.9], [1.0], "ms", 2), False),
    (Figure("fewer than there must be", [1.4], [1.0], "/s", 1.5), True),
    (Figure("more than enough", [1.6], [1.0], "/s", 1.5), False),
    (Figure("less even than it must be", [0.9], [1.0], "of 1", 0.95), True),
    (Figure("for information", [9.0], [1.0], "ms"), False),
    (Promise("one late in a hundred", [0.1] * 99 + [2.0], 1.0), False),
    (Promise("two late in a hundred", [0.1] * 98 + [2.0] * 2, 1.0), True),
    (Promise("one late, and none may be", [0.1] * 99 + [2.0], 1.0, every=True), True),
]


@pytest.mark.parametrize(("figure", "missed"), PROMISES, ids=[figure.name for figure, _ in PROMISES])
def test_a_bound_is_missed_in_its_own_direction(figure: Measured, missed: bool) -> None:
    """Lower times and higher rates are better, and verdict and table agree."""
    assert figure.missed is missed
    assert ("MISSED" in tables([figure])) is missed


def test_a_report_that_was_kept_says_what_was_measured(tmp_path: Path) -> None:
    """A report that is read back has the same tables, and a section that is measured again replaces only its own part."""
    report = Report()
    report.record("one", [figure for figure, _ in PROMISES], quick=False)
    report.record("two", [Figure("a", [1.23456789, 2.0], [1.0, 3.0], "us", 2)], quick=True)
    report.write(tmp_path / "kept.json")
    again = Report.read(tmp_path / "kept.json")
    assert again.markdown() == report.markdown()
    again.record("two", [Figure("b", [1.0], [1.0], "us")], quick=True)
    assert (list(again.sections), again.sections["one"]) == (
        ["one", "two"],
        Report.read(tmp_path / "kept.json").sections["one"],
    )


def test_tables_stand_between_their_marks(tmp_path: Path) -> None:
    """New tables leave the rest of the page unchanged."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}old\n{END}after\n", encoding="utf-8")
    report = Report()
    report.record("one", [Figure("a | b", [1.0], [1.0], "us")], quick=False)
    report.write_markdown(page)
    report.write_markdown(page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}")
    assert text.endswith(f"{END}after\n")
    assert "old" not in text
    assert text.count("### one") == 1


def test_every_section_is_documented() -> None:
    """docs/internals/benchmarks.md says what each section does, in the order in which they are measured."""
    page = (Path(__file__).parent.parent / "docs" / "internals" / "benchmarks.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)`", page, re.MULTILINE) == [*SECTIONS, *EXTRA]
