"""Many features are exported in bounded memory, as one snapshot, while agents write."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs.transfer.export import write_export
from dibs.transfer.formats.export_formats import FORMATS
from races.backlog import times
from verbs import stage

COUNT = times(4_000, 100_000)


@pytest.fixture
def database(db: str) -> Iterator[Database]:
    opened = open_database(Settings(db=db, project="default"))
    yield opened
    opened.close(patience=5)


class Sink:
    """Counts what is written, and calls `interrupt` once, in the middle."""

    def __init__(self, interrupt: Any = None) -> None:
        self.written = 0
        self.parts: list[bytes] = []
        self._interrupt = interrupt

    def seek(self, _: int) -> None:
        self.written = 0

    def truncate(self) -> None:
        self.parts.clear()

    def writelines(self, parts: Iterator[bytes]) -> None:
        for part in parts:
            self.written += len(part)
            if self._interrupt is not None:
                self.parts.append(part)
                if len(self.parts) == 600:
                    self._interrupt()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.only_on("sqlite", reason="the memory of this process; each engine reads a page at a time")
def test_memory_does_not_grow_with_the_backlog(database: Database, form: str) -> None:
    """What one export holds at a time is far less than it writes."""
    for _ in range(COUNT // 1_000):
        stage.add(database, 1_000, description="x" * 2_000)
    sink: Any = Sink()
    gc.collect()
    gc.freeze()  # else the objects of earlier tests would put off the collection of this one's garbage
    tracemalloc.start()
    try:
        database.read_now(lambda tx: write_export(tx, FORMATS[form].write, sink))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.unfreeze()
    assert sink.written > COUNT * 2_000
    assert peak < 6_000_000


def test_an_export_is_one_snapshot(database: Database) -> None:
    """What agents write during an export is not in it, not even in part."""
    stage.add(database, 1_000)

    def interrupt() -> None:
        stage.add(database, 10)
        stage.finish(database, 1_000)

    sink: Any = Sink(interrupt)
    done = database.read_now(lambda tx: write_export(tx, FORMATS["feature_list"].write, sink))
    features = json.loads(b"".join(sink.parts))["features"]
    assert done.features == len(features) == 1_000
    assert not any(one["passes"] for one in features)
    later: Any = Sink()
    assert database.read_now(lambda tx: write_export(tx, FORMATS["feature_list"].write, later)).features == 1_010
