"""Records a server at work, and cuts its power at any moment of the recording."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # has no types; the wheel requires it

from clusters.shared import quick_folder
from dibs.database import open_database
from dibs.settings import Settings
from dibs_schema.refusals import Refusal
from faults.disk import Disk, Way, put
from faults.recording import Event, Said, Synced, command, read
from faults.states import State, look
from races.servers import ServerClient

FILE = Path("new") / ".dibs" / "features.db"
AUTOCHECKPOINT = 25
"""Pages until a checkpoint, instead of 1,000: checkpoints are frequent, and each state consists of small files."""
SEED = os.environ.get("DIBS_TEST_SEED", "0")


def work(server: ServerClient, name: str) -> None:
    """Make writes of many kinds, each with an event, and end all claims."""
    new = {"category": "core", "name": name, "description": name * 200, "steps": ["look"]}
    rows = [
        new | {"name": f"{name} {place}", "depends_on_indices": [place - 1] if place % 3 else []} for place in range(6)
    ]
    ids = server.call("feature_create_bulk", features=rows, request_id=name)["ids"]
    server.call("feature_claim_and_get", feature_id=ids[0])
    server.call("feature_add_note", feature_id=ids[0], text="learned " * 100)
    server.call("feature_mark_passing", feature_id=ids[0], evidence={"summary": "it works"})
    server.call("feature_claim_and_get", feature_id=ids[1], request_id=f"{name} 2")
    server.call("feature_mark_failing", feature_id=ids[1], reason="it broke")
    server.call("feature_mark_failing", feature_id=ids[0], reason="it broke again")
    server.call("feature_skip", feature_id=ids[3], reason="not now")
    server.call("feature_mark_in_progress", feature_id=ids[3])
    server.call("feature_request_human_input", feature_id=ids[3], prompt="Which?", fields=[{"id": "a", "label": "A"}])
    server.call("feature_answer_human_input", feature_id=ids[3], answers={"a": "b"})
    server.call("feature_update", feature_id=ids[5], archived=True)
    server.call("feature_set_dependencies", feature_id=ids[4], dependency_ids=[ids[0]])
    server.call("feature_create", **new | {"description": name * 1500, "dependencies": ids[:2]})


def record(root: Path, ends: Sequence[str], *flags: str, **pragmas: str) -> list[Event]:
    """Record servers with these flags, one after another, on a database that does not exist at first.

    Each server ends in the given way: "well", when its input ends, or "killed". All of them use the given pragmas.
    """
    events: list[Event] = []
    told = json.dumps({"wal_autocheckpoint": AUTOCHECKPOINT} | pragmas)
    home = root / "home"
    home.mkdir()
    for number, end in enumerate(ends):
        into = root / f"recorded-{number}"
        started = [
            *command(into),
            sys.executable,
            "-m",
            "faults.recorded",
            told,
            "--db",
            f"{home / FILE}",
            *flags,
        ]
        server = ServerClient(started, {"PYTHONPATH": os.pathsep.join(sys.path)})
        try:
            work(server, f"round {number} ")
            if end == "killed":
                (real,) = psutil.Process(server.process.pid).children()
                real.kill()
            server.finish()
        finally:
            server.close()
        events += read(into, home)
    return events


@dataclass(slots=True)
class Found:
    """A database after a power cut: the time of the cut, and the numbers of acknowledged and of present writes.

    The latter is None if the database is refused, damaged or unsound, or if its content is not that after one of the
    answers; then `wrong` is the reason.
    """

    cut: int
    way: Way
    acknowledged: int
    there: int | None
    wrong: str = ""

    @property
    def lost(self) -> bool:
        """Return whether the database is sound, but lacks an acknowledged change."""
        return self.there is not None and self.there < self.acknowledged


@dataclass(slots=True)
class Recording:
    """A recording, and the content of the database after each answer."""

    events: list[Event]
    home: Path
    answered: list[State] = field(default_factory=list)
    opened: int = 0
    ways: Counter[str] = field(default_factory=Counter)
    _seen: set[tuple[bytes, int]] = field(default_factory=set)

    def learn(self) -> None:
        """Record the content of the database after each answer, as the death of only the process would leave it."""
        disk, never = Disk(self.home), random.Random(0)
        self.answered.append(_held({}, self.home))
        for event in self.events:
            disk.do(event)
            if isinstance(event, Said):
                self.answered.append(_held(disk.after("all", never), self.home))
        counts = [len(state["events"]) for state in self.answered]
        assert counts == sorted(set(counts)), "an answer without an event could not be told from the one before"

    def cuts(self, rounds: int) -> Iterator[tuple[int, Disk, Way]]:
        """Yield the moments of the power cuts: before and after each sync and answer, and random moments."""
        chance, disk = random.Random(SEED), Disk(self.home)
        ways: tuple[Way, ...] = ("some", "torn")
        yield 0, disk, "none"
        for place, event in enumerate(self.events):
            if isinstance(event, Synced) and disk.unsynced():
                each: tuple[Way, ...] = ("all", *ways * rounds) if rounds > 1 else (chance.choice(ways),)
                for way in ("none", *each):
                    yield place, disk, way
            elif disk.unsynced() and chance.random() < 0.1 * rounds:
                yield place, disk, chance.choice(ways)
            disk.do(event)
            if isinstance(event, Synced | Said):
                yield place + 1, disk, "none"
                if disk.unsynced():
                    yield place + 1, disk, chance.choice(ways)

    def cut_everywhere(self, rounds: int) -> Iterator[Found]:
        """Cut the power at each moment, and open each resulting state that was not opened before."""
        acknowledged, last = 0, 0
        for cut, disk, way in self.cuts(rounds):
            acknowledged += sum(isinstance(event, Said) for event in self.events[last:cut])
            last = cut
            files = disk.after(way, random.Random(f"{SEED} {cut} {self.opened}"))
            mark = hashlib.sha256(repr(sorted(files.items())).encode()).digest()
            if (mark, acknowledged) in self._seen:
                continue
            self._seen.add((mark, acknowledged))
            self.opened += 1
            self.ways[way] += 1
            yield self._found(files, cut, way, acknowledged)

    def _found(self, files: dict[str, bytes | None], cut: int, way: Way, acknowledged: int) -> Found:
        try:
            held = _held(files, self.home)
        except (Refusal, AssertionError) as wrong:
            return Found(cut, way, acknowledged, None, f"{wrong}")
        if held not in self.answered:
            return Found(cut, way, acknowledged, None, "neither one move nor the other")
        return Found(cut, way, acknowledged, self.answered.index(held))


def _held(files: dict[str, bytes | None], home: Path) -> State:
    """Return the content of a database after a power cut. The database must be sound, and accept the next write."""
    with tempfile.TemporaryDirectory(dir=quick_folder()) as folder:
        put(files, home, Path(folder))
        database = open_database(Settings(db=f"{Path(folder) / FILE}", project="default"))
        try:
            state = database.read_now(look)
            database.write_now(lambda _: None)
            wrong = [one for one in database.check_health() if one.level == "error"]
        finally:
            database.close(patience=5)
    assert not wrong, wrong
    del state["writers"]
    for name in ("generation", "created_at"):  # of a database that was created again
        del state["projects"]["1"][name]
    return state
