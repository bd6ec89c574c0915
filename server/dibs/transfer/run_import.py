"""Runs an import against a database: in one transaction, or, if large, in parts that hold the write lock briefly."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from dibs.database import Database
from dibs.database.compiled import JSONText
from dibs.database.transaction import Transaction
from dibs.rules.critical_path import path_heights
from dibs.rules.unfinished_imports import is_unfinished
from dibs.transfer.comparison import Comparison, refuse_too_many
from dibs.transfer.importer import Import, Outdated, adopt, summary
from dibs.transfer.take_differences import Kept
from dibs.verbs.staged_import import (
    StagedFeature,
    abandoned_import,
    add_part,
    discard_part,
    publish,
    stage_part,
)
from dibs_schema.answers import Imported
from dibs_schema.refusals import Refusal, Unavailable

PART = 400
PART_ROWS = 2_000
PART_LENGTH = 1_000_000
"""Features, rows and characters of a part: what one transaction adds in less than 60 ms."""

Progress = Callable[[str, int, int], object]

_NOTHING_CHANGED = re.compile(r" Nothing was (changed|written)\b[^.]*\.|, and nothing was changed")
"""What is true of the last transaction alone."""


def run_import(database: Database, one: Import, progress: Progress) -> tuple[Comparison, Imported, list[Kept]]:
    """Compare the file with the project, and add and change features: all or nothing.

    An import of one part, or one that changes features, is one transaction. A larger one is staged, published, and then
    added part by part. If this process ends before it is published, nothing of it is added; if it ends later, any server
    or the next import adds the rest. Raises the refusals of `Import`, and Unavailable.
    """
    while True:
        finish_import(database, progress)
        progress("comparing", 0, 0)
        # One snapshot says both: whatever is published later has greater ids than any that this comparison has seen.
        comparison = database.read_now(lambda tx: None if is_unfinished(tx) else one.compare(tx))
        if comparison is None:
            continue
        parts = [] if one.update and comparison.differences else list(_parts(one, comparison))
        if len(parts) < 2:
            with suppress(Outdated):
                done, kept = database.write_now(partial(one.apply, comparison=comparison))
                return comparison, done, kept
            continue
        first = _publish(database, comparison, parts, progress)
        if first is not None:
            finish_import(database, progress, len(comparison.new))
            kept = one.would_keep(comparison)
            return comparison, summary(comparison, kept, first), kept


def finish_import(database: Database, progress: Progress, own: int = 0) -> None:
    """Add the parts of published imports, also of those whose process has ended.

    `own` is how many features the caller has published itself, or 0. Raises Unavailable, and says how far it came.
    """
    done = 0
    try:
        if not own and not database.read_now(is_unfinished):
            return
        while added := database.write_now(add_part):
            done += added
            progress("adding", done, max(own, done))
    except Unavailable as refusal:
        if own:
            said = f"The import is accepted, and this call added {min(done, own)} of its {own} features; any server or "
            said += "the next import adds the rest."
        elif done:
            said = "Nothing of this file was imported. An earlier import is accepted, and "
            said += f"{done} of its features were added now; any server adds the rest."
        else:
            raise  # it changed nothing, and says so
        fact = _NOTHING_CHANGED.sub("", refusal.fact)
        raise type(refusal)(f"{said} {fact}", next=refusal.next, **refusal.details) from refusal


def _publish(database: Database, comparison: Comparison, parts: Sequence[JSONText], progress: Progress) -> int | None:
    """Stage the parts and publish them. Returns the first id, or None if the project has changed since the comparison."""
    name = secrets.token_hex(8)
    first: int | None = None
    try:
        while (old := database.read_now(abandoned_import)) is not None:
            _discard(database, old)
        for number, part in enumerate(parts):
            if not database.write_now(partial(stage_part, name=name, part=number, staged=part)):
                return None
            progress("staging", number + 1, len(parts))

        def publish_now(tx: Transaction) -> int | None:
            refuse_too_many(tx, comparison.new)
            found = publish(tx, name, len(parts), len(comparison.new), comparison.last_id)
            if found is not None:
                adopt(tx, comparison)
            return found

        first = database.write_now(publish_now)
    finally:
        if first is None:
            with suppress(Refusal):  # else a later import discards it
                _discard(database, name)
    return first


def _discard(database: Database, name: str) -> None:
    while database.write_now(partial(discard_part, name=name)):
        pass


def _parts(one: Import, comparison: Comparison) -> Iterator[JSONText]:
    """Yield the new features in parts, as JSON: each feature after its dependencies."""
    places = {feature.reference: place for place, feature in enumerate(comparison.new)}
    within = [[places[other] for other in one.dependencies if other in places] for one in comparison.new]
    heights = path_heights((place, other) for place, needed in enumerate(within) for other in needed)
    texts: list[str] = []
    rows = length = 0
    for place in _dependencies_first(within):
        staged = _staged(one, comparison, place, within[place], heights.get(place, 0))
        text = json.dumps(staged)
        more = 1 + len(staged.within) + len(staged.here) + len(staged.notes) + len(staged.areas)
        if texts and (len(texts) == PART or rows + more > PART_ROWS or length + len(text) > PART_LENGTH):
            yield _part(one, texts)
            texts, rows, length = [], 0, 0
        texts.append(text)
        rows += more
        length += len(text)
    if texts:
        yield _part(one, texts)


def _part(one: Import, texts: Sequence[str]) -> JSONText:
    """Return a `StagedPart` of features that are JSON already."""
    return JSONText(f'{{"by": {json.dumps(one.by)}, "features": [{",".join(texts)}]}}')


def _staged(one: Import, comparison: Comparison, place: int, within: list[int], height: int) -> StagedFeature:
    feature = comparison.new[place]
    row = one.rows[feature.reference]
    return StagedFeature(
        place,
        {name: value for name, value in row.columns.items() if value is not None},
        row.areas,
        feature.status.value,
        feature.archived_from.value if feature.archived_from else None,
        within,
        [comparison.numbers[other] for other in feature.dependencies if other in comparison.numbers],
        feature.notes,
        height,
    )


def _dependencies_first(within: Sequence[Sequence[int]]) -> Iterator[int]:
    """Yield the places of features in order, but each after those that it depends on."""
    done: set[int] = set()
    for start in range(len(within)):
        open_ones = [start]
        while open_ones:
            place = open_ones[-1]
            missing = [other for other in within[place] if other not in done]
            if missing:
                open_ones += missing
                continue
            open_ones.pop()
            if place not in done:
                done.add(place)
                yield place
