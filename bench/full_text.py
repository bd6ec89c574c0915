"""A search in all texts: the scan, and what a full-text index would cost the writes that it needs no scan for."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from bench import backlogs
from bench.figures import Figure, Measured, Promise
from clusters.cluster import Cluster
from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.queries.text_search import search_everywhere
from dibs.verbs.claim import claim
from dibs.verbs.create import create, create_bulk
from dibs.verbs.update import add_note
from dibs_schema.inputs import NewFeature

SCAN_BOUND = 3.0
SCANNED = 100_000
BATCH = 100
WARM_UP = 2
WORDS = 3_000
"""The different words of the texts: as many as a project's features have."""

FTS5 = (
    "CREATE VIRTUAL TABLE searched USING fts5(texts, content='', tokenize='{tokenizer}')",
    """CREATE TRIGGER searched_feature AFTER INSERT ON features BEGIN
    INSERT INTO searched(rowid, texts) VALUES (new.id, new.description || char(10) || new.steps); END""",
    """CREATE TRIGGER searched_note AFTER INSERT ON events WHEN new.kind = 'note' BEGIN
    INSERT INTO searched(rowid, texts) VALUES (1000000000 + new.id, new.detail ->> 'note'); END""",
)
TSVECTOR = (
    "CREATE TABLE searched (project_id integer, feature_id integer, words tsvector)",
    "CREATE INDEX searched_words ON searched USING gin (words)",
    """CREATE FUNCTION search_feature() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO searched VALUES
    (new.project_id, new.id, to_tsvector('simple', new.description || ' ' || new.steps)); RETURN new; END $$""",
    """CREATE FUNCTION search_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO searched VALUES
    (new.project_id, new.feature_id, to_tsvector('simple', new.detail ->> 'note')); RETURN new; END $$""",
    "CREATE TRIGGER searched_feature AFTER INSERT ON features FOR EACH ROW EXECUTE FUNCTION search_feature()",
    """CREATE TRIGGER searched_note AFTER INSERT ON events FOR EACH ROW WHEN (new.kind = 'note')
    EXECUTE FUNCTION search_note()""",
)
"""The smallest indexes that could serve: of the texts as they are. To fold them first would cost more."""

Verb = Callable[[Transaction], object]
Work = Callable[[random.Random, int], Verb]
"""Prepares the verb of a run."""


def measure(folder: Path, runs: int) -> Iterator[Measured]:
    """Compare creations, claims and notes with an index and without one, on both engines, and time the scan."""
    for tokenizer in ("unicode61", "trigram"):
        index = [statement.format(tokenizer=tokenizer) for statement in FTS5]
        paths = [str(folder / f"{tokenizer} {name}.db") for name in ("plain", "indexed")]
        yield from _compared(f"SQLite with FTS5 {tokenizer}", paths, index, runs)
    with Cluster(folder / "cluster", shared_buffers="128MB") as cluster:
        cluster.sql("CREATE DATABASE indexed OWNER dibs")
        yield from _compared("PostgreSQL with tsvector", [cluster.url(), cluster.url("indexed")], TSVECTOR, runs)
    large = backlogs.opened(backlogs.make_large(folder / "large.db", SCANNED, passing=SCANNED // 2))
    took = []
    for _ in range(5):
        began = time.process_time()
        large.read_now(partial(search_everywhere, text="no such words"))
        took.append(time.process_time() - began)
    yield Promise(f"processor, search in all texts of {SCANNED:,} features", took, SCAN_BOUND)
    large.close(5)


def _compared(what: str, urls: Sequence[str], index: Sequence[str], runs: int) -> Iterator[Figure]:
    plain, indexed = (backlogs.opened(url) for url in urls)
    plain.write_now(lambda _: None)
    indexed.write_now(lambda tx: [tx.connection.exec_driver_sql(statement) for statement in index])
    for name, work in WORKS.items():
        took: dict[Database, list[float]] = {plain: [], indexed: []}
        for number in range(-WARM_UP, runs):
            for database, samples in took.items():
                verb = work(random.Random(number), number)
                began = time.perf_counter()
                database.write_now(verb)
                samples.append(time.perf_counter() - began)
        yield Figure(f"{name}, {what}, against no index", took[indexed][WARM_UP:], took[plain][WARM_UP:], "us")
    for database in (plain, indexed):
        database.close(5)


def _words(numbers: random.Random, count: int) -> str:
    """Return words of which few are frequent, as in texts that people write."""
    return " ".join(f"word{int(numbers.paretovariate(0.8)) % WORDS}" for _ in range(count))


def _feature(numbers: random.Random, number: int) -> NewFeature:
    steps = [_words(numbers, 12) for _ in range(5)]
    return NewFeature(category="area", name=f"Feature {number}", description=_words(numbers, 70), steps=steps)


def _create_batch(numbers: random.Random, run: int) -> Verb:
    return partial(create_bulk, by="planner", entries=[_feature(numbers, run * BATCH + each) for each in range(BATCH)])


def _create(numbers: random.Random, run: int) -> Verb:
    return partial(create, by="planner", feature=_feature(numbers, 1_000_000 + run))


def _claim(_: random.Random, run: int) -> Verb:
    return partial(claim, holder=backlogs.holder(f"agent {run}"))


def _note(numbers: random.Random, run: int) -> Verb:
    return partial(add_note, by="agent", feature=1 + run % BATCH, note=_words(numbers, 25))


WORKS: dict[str, Work] = {f"create {BATCH}": _create_batch, "create": _create, "claim": _claim, "note": _note}
