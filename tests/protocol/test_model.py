"""The model of claims has the transitions of the product, and its mistakes are found."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from dibs_schema.status import TRANSITIONS, Kind, Status
from protocol.check import CHECKS, CLAIMS, missing_tools, run


def test_every_transition_is_in_the_model_and_no_other() -> None:
    """Kinds, states before and states after agree with the table, but for the creation: the model begins after it."""
    text = CLAIMS.read_text(encoding="utf-8")
    modelled: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    steps = re.findall(r"\bbecome\(([A-Z_]+), ([A-Z_]+), ([A-Z_]+)\)", text)
    helpers = [
        (kind, "IN_PROGRESS", to)
        for kind in re.findall(r"pending_or_stuck\(([A-Z]+)\)", text)
        for to in ("PENDING", "STUCK")
    ]
    for kind, before, after in [*steps, *helpers]:
        modelled[kind.lower()][0].add(before.lower())
        modelled[kind.lower()][1].add(after.lower())
    table = {
        str(one.kind): ({str(status) for status in one.sources}, {str(status) for status in one.targets})
        for one in TRANSITIONS
        if one.kind is not Kind.CREATE
    }
    assert dict(modelled) == table
    assert {str(one) for one in Status} <= set(re.findall(r"\w+", text.lower()))


def test_planted_mistakes_are_found_and_the_model_has_none() -> None:
    """The small searches; `make model` has the others, which take a minute together."""
    if missing := missing_tools():
        pytest.skip(f"{' and '.join(missing)} cannot be found: apt install spin gcc")
    small = [one for one in CHECKS if one.finds_error or one.searches_cycles]
    assert [(one.title, run(one)[1] > 0) for one in small] == [(one.title, one.finds_error) for one in small]
    assert sum(one.finds_error for one in small) >= 4
