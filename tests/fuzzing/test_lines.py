"""Generated invalid lines get exactly the required answers, and the server continues."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from dibs.database import Database
from fuzzing.lines import Line, lines
from fuzzing.peer import Peer, peer_on
from fuzzing.verdict import assert_no_foreign_word, protocol_error
from fuzzing.watching import writes
from races.backlog import LONG, SEED, times

LINES = times(200, 2_000)
BATCH = 20
PROMPT = 60.0
"""Seconds after which an answer is missing."""


class Ledger:
    """The expected answers and the received ones."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.sent = 0
        self._owed: Counter[object] = Counter()
        self._either = 0

    def send(self, batch: list[Line]) -> None:
        """Send all lines at once, and wait for the expected answers."""
        for line in batch:
            if len(line.answered) == 1:
                self._owed[line.answered[0]] += 1
            self._either += len(line.answered) > 1
        self.sent += len(batch)
        ping = f"ping {self.sent}"
        self._owed[ping] += 1
        self._peer.write_bytes(b"".join(line.data + b"\n" for line in batch))
        self._peer.write({"jsonrpc": "2.0", "id": ping, "method": "ping"})
        self._settle()

    def _settle(self) -> None:
        total = sum(self._owed.values()) + self._either
        came = self._peer.wait_for_total(total, PROMPT)
        heard = self._peer.heard
        others = {None, "deep", "marked"}
        wrong = {
            key: (self._owed[key], heard[key])
            for key in self._owed.keys() | heard.keys()
            if key not in others and self._owed[key] != heard[key]
        }
        assert not wrong, f"answers owed and given by id: {str(wrong)[:1_000]}"
        assert came, f"{total} answers were owed, and {heard.total()} came"
        assert heard.total() == total


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # in case it fails on a huge line
@pytest.mark.timeout(1_200 if LONG else 300)
def test_every_line_gets_the_answers_that_it_is_owed_and_the_server_goes_on(
    database: Database, db: str, engine: str
) -> None:
    """Each line gets its expected answers, and nothing is written (200 lines; 2,000 with DIBS_TEST_LONG=1)."""
    database.read_now(lambda _: None)
    began = time.monotonic()
    with writes(db) as written, peer_on(db) as peer:
        before = written()
        ledger = Ledger(peer)
        peer.heard.clear()

        @seed(SEED)
        @settings(
            max_examples=LINES // BATCH,
            phases=[Phase.generate],
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(lines(), min_size=BATCH, max_size=BATCH))
        def each_is_answered(batch: list[Line]) -> None:
            ledger.send(batch)

        each_is_answered()
        assert written() == before
        kinds: Counter[str] = Counter()
        for message in peer.messages:
            assert_no_foreign_word(message, database.label)
            kinds[protocol_error(message) if "error" in message else "result"] += 1
    print(f"\n{engine}: {ledger.sent} lines: {dict(kinds)}; {time.monotonic() - began:.0f} s")
    assert ledger.sent >= LINES


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_what_there_is_not_is_refused_by_a_code_of_json_rpc(db: str) -> None:
    """A prompt, a resource and a method that do not exist are protocol errors, and no fault in the log."""
    with peer_on(db) as peer:
        for method, params, error in (
            ("prompts/get", {"name": "x"}, "invalid params"),
            ("resources/read", {"uri": "x"}, "invalid params"),
            ("nothing/get", {}, "no such method"),
        ):
            message = peer.message(peer.ask(method, **params), PROMPT)
            assert_no_foreign_word(message)
            assert protocol_error(message) == error
