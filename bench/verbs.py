"""What a claim costs without MCP: the verb in its transaction, against the same statements by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from bench import backlog
from bench.figures import Figure
from bench.raw import RawClaims
from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.rules.claimant import Holder
from dibs.verbs.claim import claim, claim_row

TARGET = 0.5
BATCH = 20


def measure(folder: Path, batches: int) -> list[Figure]:
    """Claims per second in alternating batches, each on a backlog of its own."""
    size = (batches + 1) * BATCH
    paths = {name: backlog.make(folder / f"{name}.db", size) for name in ("raw", "bare", "whole")}
    raw = RawClaims(paths["raw"])
    bare, whole = backlog.opened(paths["bare"]), backlog.opened(paths["whole"])
    rates: dict[str, list[float]] = {"raw": [], "bare": [], "whole": []}
    for batch in range(batches + 1):
        rates["raw"].append(_rate(raw.claim, batch))
        rates["bare"].append(_rate(_claimer(bare, claim_row), batch))
        rates["whole"].append(_rate(_claimer(whole, claim), batch))
    raw.close()
    bare.close(5)
    whole.close(5)
    for samples in rates.values():
        del samples[0]  # statements were prepared
    return [
        Figure("claims by write_now, FULL", rates["bare"], rates["raw"], "/s", TARGET),
        Figure("claims with hand-over by write_now, FULL", rates["whole"], rates["raw"], "/s"),
    ]


def _claimer(database: Database, verb: Callable[[Transaction, Holder], object]) -> Callable[[str], object]:
    def make(name: str) -> object:
        holder = Holder(name, named=True, session="bench", lease=120)
        return database.write_now(lambda tx: verb(tx, holder))

    return make


def _rate(make: Callable[[str], object], batch: int) -> float:
    """Claims a second, each under a name of its own, since a name may hold only one."""
    began = time.perf_counter()
    for number in range(BATCH):
        assert make(f"agent {batch}.{number}") is not None, "the backlog is long enough"
    return BATCH / (time.perf_counter() - began)
