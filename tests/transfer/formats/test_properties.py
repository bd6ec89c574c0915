"""Whatever JSON a file holds, the import keeps the limits of a feature, or refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dibs.transfer.formats import Backlog
from dibs.transfer.formats import vocabulary as words
from dibs.transfer.formats.backlog import PRIORITY_LIMIT
from dibs_schema.refusals import InvalidInput
from dibs_schema.sanitize import clean
from dibs_schema.status import Status
from transfer.formats.conftest import Read

FIELDS = [
    *(words.IDS + words.NAMES + words.SPARE_NAMES + words.DESCRIPTIONS + words.DETAILS + words.CATEGORIES),
    *(words.SPARE_CATEGORIES + words.STEPS + words.DEPENDENCIES + words.DEPENDENCY_INDICES + words.STATUSES),
    *(words.FLAGS + words.EVIDENCE + words.FAILURES + words.REQUESTS + words.ANSWERS + words.PATHS + words.NOTES),
    *(words.PHASES + words.BLOCKERS + words.BLOCKED_FLAGS),
    *("priority", "in_progress", "needs_human_input", "dependsOn", "ACCEPTANCE-criteria", "notes", "\ud800"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(0, 9)
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from([*words.STATUS_WORDS, *words.PRIORITY_WORDS, "1", "2", "a, b", "\u202e\x00", " ", "x" * 300])
    | st.text(max_size=300)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "text", "prompt", "fields", "label", "options", "given", "step"]) | st.text(),
            inner,
        )
    ),
    max_leaves=8,
)
plausible = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers(0, 5) | st.sampled_from("abc"),
        "name": st.text(max_size=260),
        "dependencies": st.lists(st.integers(0, 5) | st.sampled_from("abc"), max_size=3),
        "status": st.sampled_from([*words.STATUS_WORDS]),
        "steps": st.lists(st.text(), max_size=101) | st.text(),
    },
)
entries = plausible | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=9), values, max_size=6)
documents = (
    st.lists(entries, max_size=6)
    | st.dictionaries(
        st.sampled_from([*words.CONTAINERS, *words.GROUPS, "a"]),
        st.lists(entries, max_size=4) | values,
        max_size=3,
    )
    | entries
    | values
)


def keeps_the_limits(backlog: Backlog) -> None:
    """Assert the limits that every importer relies on."""
    references = [feature.reference for feature in backlog.features]
    assert len(set(references)) == len(references)
    waiting = dict(zip(references, (set(feature.dependencies) for feature in backlog.features), strict=True))
    for feature in backlog.features:
        assert 1 <= len(feature.reference) <= 255
        assert 1 <= len(feature.category) <= 100
        assert 1 <= len(feature.name) <= 255
        assert 1 <= len(feature.description) <= 20_000
        assert len(feature.steps) <= 100
        assert all(1 <= len(step) <= 2_000 for step in feature.steps)
        assert abs(feature.priority) <= PRIORITY_LIMIT
        assert feature.status is not Status.IN_PROGRESS
        assert (feature.archived_from is not None) == (feature.status is Status.ARCHIVED)
        assert feature.human_request or feature.status is not Status.NEEDS_HUMAN
        assert len(set(feature.dependencies)) == len(feature.dependencies)
        texts = [feature.reference, feature.category, feature.name, feature.description, *feature.steps]
        texts += feature.notes
        texts += [str(feature.evidence or ""), feature.last_failure or "", json.dumps(feature.human_request)]
        assert all(clean(text) == text for text in texts)
    while ready := [reference for reference, needed in waiting.items() if not needed]:
        for reference in ready:
            del waiting[reference]
        for needed in waiting.values():
            needed.difference_update(ready)
    assert not waiting, "a circle was let in"
    for line in (*backlog.unknown, *backlog.mapped, *backlog.texts, *backlog.ignored):
        assert clean(line) == line
        assert len(line) <= 300


def imported_or_refused(read: Read, document: Any) -> InvalidInput | None:
    """Read the document, and return the refusal if it is refused; either must be sound."""
    try:
        backlog = read(document)
    except InvalidInput as caught:
        refusal = caught
    else:
        keeps_the_limits(backlog)
        return None
    assert refusal.message.isprintable()
    json.dumps(refusal.answer(), ensure_ascii=False).encode()
    return refusal


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents)
@example([{"name": "\u200b"}])
@example([{"id": "\u200b", "dependencies": ["\u200b"]}])
@example([{"description": "."}])
@example({"features": {"\u200b": {"name": "a"}}})
@example([{"human_input_request": {"fields": [{}]}, "status": "needs_human", "name": "\x00"}])
@example([{"name": "a", "evidence": [[[[]]]]}])
@example({"features": {"\U00018d09": {}}})
def test_any_json_is_imported_within_limits_or_refused(read: Read, document: Any) -> None:
    """No document raises anything but InvalidInput, and what is returned keeps every limit."""
    imported_or_refused(read, document)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text(alphabet='[]{}",:\n 1anul\\t\ufeff\x00').map(str.encode))
def test_any_bytes_are_imported_within_limits_or_refused(read: Read, content: bytes) -> None:
    """No file raises anything but InvalidInput."""
    imported_or_refused(read, content)


@pytest.mark.parametrize("depth", [300, 500, 900, 950, 980, 990, 1000, 2_000])
def test_depth_is_no_fault(read: Read, depth: int) -> None:
    """However deeply a value is nested, it is kept, reported or refused."""
    nested = b"[" * depth + b"]" * depth
    for field in (b"evidence", b"steps", b"name", b"notes", b"human_input_request"):
        refusal = imported_or_refused(
            read, b'[{"id": 1, "text": "t", "status": "needs_human", "%s": %s}]' % (field, nested)
        )
        assert refusal is None or "nested too deeply" in refusal.message
