"""Two spellings of one path lead to one backlog with one writer queue."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dibs.database import open_database
from dibs.database.sqlite.writer_queue import WriterQueue
from dibs.platform.file_locks import lock, unlock
from dibs.settings import Settings
from dibs.verbs.claim import mark_in_progress
from dibs_schema.refusals import AlreadyClaimed
from faults.volumes import mount
from verbs.stage import add, named, refused, take

pytestmark = pytest.mark.only_on("sqlite", reason="it is about the path of a file")


@pytest.fixture
def spellings(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Two paths of one file. Linux has no folder of two names but a mounted one, which `resolve` does not unify either."""
    composed, decomposed = (unicodedata.normalize(form, "Rückstand") for form in ("NFC", "NFD"))
    folder = tmp_path / composed
    folder.mkdir()
    if sys.platform != "linux":  # Windows and macOS ignore case, and macOS composition too
        other = decomposed if sys.platform == "darwin" else composed
        yield folder / "features.db", tmp_path / other.upper() / "FEATURES.DB"
        return
    twin = tmp_path / decomposed
    twin.mkdir()
    mount("--bind", str(folder), str(twin))
    try:
        yield folder / "features.db", twin / "features.db"
    finally:
        subprocess.run(["umount", "--lazy", str(twin)], check=True)


def test_two_spellings_share_one_backlog_and_one_writer_queue(spellings: tuple[Path, Path]) -> None:
    """Who is in the queue by one spelling keeps out who comes by the other, and a claim holds for both."""
    one, other = spellings
    with (
        closing(open_database(Settings(db=str(one)))) as here,
        closing(open_database(Settings(db=str(other)))) as there,
    ):
        add(here)
        take(there, named("ada"))
        refused(here, AlreadyClaimed, lambda tx: mark_in_progress(tx, named("bob"), 1))
    queues = [Path(f"{path}.lock") for path in spellings]
    with closing(WriterQueue(queues[0])) as queue:
        queue.enter()
        descriptor = os.open(queues[1], os.O_RDWR)
        try:
            with pytest.raises(BlockingIOError):
                lock(descriptor, wait=False)
            queue.leave()
            lock(descriptor, wait=False)
            unlock(descriptor)
        finally:
            os.close(descriptor)
