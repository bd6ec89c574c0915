"""The server dies under load and its standby takes over: nothing acknowledged is lost, and no process restarts."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clusters.cluster import PASSWORD, Cluster
from dibs.database.postgres import label_of
from dibs_schema.refusals import Busy, OutcomeUnknown, Refusal
from faults.servers import NEW, opened
from races.backlog import assert_sound, events_of, fill, times
from races.servers import ServerClient, StartServer, serving, up

PROCESSES = 7
FEATURES = 1_500
WARM, AFTER = 2.0, 3.0
"""Seconds of load before the kill, and after the first claim that was acknowledged afterwards."""
PROMISED = 20.0
"""Seconds within which claims work again on a loaded machine; the run prints the measured time."""


def several(*clusters: Cluster) -> str:
    """Return one URL that names all of the servers."""
    hosts = ",".join(f"127.0.0.1:{cluster.port}" for cluster in clusters)
    return f"postgresql://dibs:{PASSWORD}@{hosts}/dibs"


@dataclass
class Ledger:
    """The changes that servers acknowledged; `unsettled` are calls with an unknown outcome."""

    claims: list[tuple[int, str, float]] = field(default_factory=list)  # feature, token, time of the request
    passes: list[tuple[int, str]] = field(default_factory=list)
    created: list[tuple[int, str]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    answered_at: list[tuple[float, float]] = field(default_factory=list)  # claims: times of request and answer


class Worker:
    """An agent with its own server, which works until the test ends, and repeats calls with an unknown outcome."""

    def __init__(self, server: ServerClient, number: int, ledger: Ledger, stop: threading.Event) -> None:
        self.server, self.number, self.ledger, self.stop = server, number, ledger, stop
        self.chance = random.Random(number)
        self.thread = threading.Thread(target=self.run, name=f"worker {number}")
        self.thread.start()

    def run(self) -> None:
        try:
            turn = 0
            while not self.stop.is_set():
                turn += 1
                self.one(turn)
        except (Refusal, AssertionError) as surprise:
            self.ledger.wrong.append(f"worker {self.number}: {surprise!r}")

    def one(self, turn: int) -> None:
        key = f"{self.number}-{turn}"
        asked = time.monotonic()
        keyed = {"request_id": key} if self.chance.random() < 0.5 else {}
        answer = self.until_known(lambda: self.server.call("feature_claim_and_get", **keyed))
        assert answer["state"] == "claimed", answer
        feature, token = answer["feature"]["id"], answer["claim"]["token"]
        self.ledger.claims.append((feature, token, asked))
        self.ledger.answered_at.append((asked, time.monotonic()))
        given = {"claim_token": token} if self.chance.random() < 0.7 else {}
        self.until_known(lambda: self.server.call("feature_mark_passing", feature_id=feature, **given))
        self.ledger.passes.append((feature, token))
        if turn % 4 == 0:
            new = {**NEW, "name": key, "request_id": f"new {key}"}
            made = self.until_known(lambda: self.server.call("feature_create", **new))
            self.ledger.created.append((made["ids"][0], key))

    def until_known(self, call: Callable[[], Any]) -> Any:
        """Repeat the same call while its refusal says to repeat it."""
        while True:
            try:
                return call()
            except (Busy, OutcomeUnknown) as refusal:
                self.ledger.refused[refusal.code] += 1


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("attempt", range(times(1, 5)))
def test_nothing_acknowledged_is_lost_when_the_standby_takes_over(tmp_path: Path, attempt: int) -> None:
    """The primary is killed under load, and the servers continue with the standby (5 times with DIBS_TEST_LONG=1)."""
    with Cluster(tmp_path / "primary", max_connections=100) as primary:
        with opened(primary.url()) as database:
            fill(database, FEATURES)
        standby = primary.standby()
        with serving(several(primary, standby)) as start:
            servers = up(*[start() for _ in range(PROCESSES)])
            ledger, killed_at, promoted_at = _fail_over(servers, primary, standby)
            assert [server.process.poll() for server in servers] == [None] * PROCESSES
        back = min(answered for asked, answered in ledger.answered_at if answered > promoted_at)
        _report(ledger, back - killed_at, promoted_at - killed_at)
        assert not ledger.wrong
        assert back - killed_at < PROMISED
        with opened(standby.url()) as database:
            assert_sound(database)
            _assert_kept(ledger, events_of(database))


def _fail_over(servers: list[ServerClient], primary: Cluster, standby: Cluster) -> tuple[Ledger, float, float]:
    ledger, stop = Ledger(), threading.Event()
    workers = [Worker(server, number, ledger, stop) for number, server in enumerate(servers)]
    try:
        time.sleep(WARM)
        primary.kill()
        killed_at = time.monotonic()
        standby.promote()
        promoted_at = time.monotonic()
        before = len(ledger.claims)
        while len(ledger.claims) < before + PROCESSES and time.monotonic() - promoted_at < PROMISED:
            time.sleep(0.05)
        time.sleep(AFTER)
    finally:
        stop.set()
        for worker in workers:
            worker.thread.join()
    return ledger, killed_at, promoted_at


def _report(ledger: Ledger, refused: float, promotion: float) -> None:
    print(
        f"\nno claim for {refused:.2f} s (promotion: {promotion:.2f} s); acknowledged {len(ledger.claims)} claims, "
        f"{len(ledger.passes)} passes, {len(ledger.created)} creations; told {dict(ledger.refused)}"
    )


def _assert_kept(ledger: Ledger, events: Any) -> None:
    history: dict[int, list[str]] = defaultdict(list)
    for event in events:
        history[event["feature_id"]].append(event["kind"])
    tokens = [token for _, token, _ in ledger.claims]
    assert len(set(tokens)) == len(tokens)
    claimed = Counter(feature for feature, _, _ in ledger.claims)
    assert set(claimed.values()) == {1}  # each was claimed by one worker, which passed it
    for feature, _, _ in ledger.claims:
        assert "claim" in history[feature]
    for feature, _ in ledger.passes:
        assert history[feature].count("pass") == 1
        assert history[feature][-2:] == ["claim", "pass"]
    for kinds in history.values():
        _assert_one_holder_at_a_time(kinds)
    for feature, _ in ledger.created:
        assert history[feature][0] == "create"
    creations = [event for event in events if event["kind"] == "create"]
    assert len(creations) == FEATURES + len(ledger.created), "a creation that was repeated was made twice"


def _assert_one_holder_at_a_time(kinds: list[str]) -> None:
    held = False
    for kind in kinds:
        if kind == "claim":
            assert not held, kinds
        held = kind == "claim"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Cluster, Cluster]]:
    """A primary with a standby that follows it, and a backlog of one feature."""
    with Cluster(tmp_path / "primary") as primary:
        with opened(primary.url()) as database:
            fill(database, 1)
        yield primary, primary.standby()


def started(start: StartServer) -> ServerClient:
    """Start a server with a short patience."""
    return start("--patience", "2").ready()


def test_a_standby_by_itself_serves_reads_and_says_what_writes_need(pair: tuple[Cluster, Cluster]) -> None:
    """A write is refused with the next step, and succeeds without a restart after the standby's promotion."""
    primary, standby = pair
    with serving(standby.url()) as start:
        server = started(start)
        assert server.call("feature_get_by_id", feature_id=1)["id"] == 1
        refusal = server.refusal("feature_claim_and_get")
        assert isinstance(refusal, Busy)
        assert "standby" in refusal.message
        assert "host1,host2" in refusal.message
        primary.kill()
        standby.promote()
        assert server.call("feature_claim_and_get")["feature"]["id"] == 1


def test_of_several_servers_the_one_that_takes_writes_is_served(pair: tuple[Cluster, Cluster]) -> None:
    """The order of the servers in the URL does not matter, and the label names all of them."""
    primary, standby = pair
    for url in (several(standby, primary), several(standby, primary) + "?target_session_attrs=read-write"):
        with serving(url) as start:
            server = started(start)
            greeting = str(server.message(0))
            assert f"127.0.0.1:{standby.port},127.0.0.1:{primary.port}/dibs" in greeting
            assert PASSWORD not in greeting
            assert server.call("feature_claim_and_get")["feature"]["id"] == 1
            assert server.finish() == 0


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("postgresql://u:p@h1:1,h2:2/db?sslmode=require", "postgresql://h1:1,h2:2/db"),
        ("postgresql://u:p@h1,[::1]:2/db", "postgresql://h1,[::1]:2/db"),
        ("postgres://u@h/db", "postgresql://h/db"),
        ("postgresql:///db?host=/tmp&password=p", "postgresql:///db"),
        ("postgresql://u:p%40@h", "postgresql://h"),
    ],
)
def test_a_label_names_the_servers_and_no_secret(url: str, label: str) -> None:
    """The label shows where the backlog is, even with several hosts."""
    assert label_of(url) == label
