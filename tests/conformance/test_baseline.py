"""Each scenario that the product's server does not pass is in the baseline, with its reason."""

from __future__ import annotations

import re
from pathlib import Path

from conformance import asking, fixtures

BASELINE = Path(__file__).parent / "baseline.yml"
NOT_FIXTURES = {"logging-set-level": "the server sends no log messages to clients"}
"""The entries that are no fixtures, each with its reason."""


def entries() -> list[tuple[str, str]]:
    """Return each entry of the baseline with its reason."""
    lines = BASELINE.read_text(encoding="utf-8").splitlines()
    listed = [line.strip() for line in lines if line.strip().startswith("- ")]
    found = [re.fullmatch(r"- (\S+) # (.+)", line) for line in listed]
    assert None not in found, "an entry has no reason"
    return [(one[1], one[2]) for one in found if one is not None]


def test_each_entry_is_a_fixture_that_the_test_application_has() -> None:
    """An entry names a tool, prompt or resource of the suite that the application offers, or has a reason."""
    tools = [one.__name__ for one in (*fixtures.TOOLS, *asking.TOOLS, *fixtures.PROMPTS, *asking.PROMPTS)]
    offered = {*tools, *fixtures.RESOURCES, "test://template/123/data"}
    for name, reason in entries():
        named = re.search(r"test(?:_|://)[\w/]*[\w-]*", reason)
        assert (named is not None and named[0] in offered) or NOT_FIXTURES.get(name) == reason.partition(";")[0], name


def test_no_scenario_is_listed_twice() -> None:
    """The baseline lists each scenario once."""
    names = [name for name, _ in entries()]
    assert len(names) == len(set(names))
