"""The raw client, with and without its thread: pipelined requests, times, and answers that do not come."""

from __future__ import annotations

import time

import pytest

from dibs_proof.raw_client import MissingAnswer, RawClient
from races.servers import command_on

pytestmark = pytest.mark.only_on("sqlite", reason="it is about the pipes to a server")


@pytest.mark.parametrize("threaded", [True, False])
def test_pipelined_requests_are_answered_and_timed(db: str, threaded: bool) -> None:
    """Several requests are sent before the first answer is read; each has its own answer and its own time."""
    with RawClient(command_on(db), threaded=threaded) as client:
        client.ready()
        began = time.monotonic()
        pings = [client.ask("ping") for _ in range(20)]
        assert [client.message(one)["id"] for one in reversed(pings)] == pings[::-1]
        ended = time.monotonic()
        assert all(began <= client.arrival(one) <= ended for one in pings)
        assert all(0 < client.seconds(one) <= ended - began for one in pings)
        assert client.finish() == 0


@pytest.mark.parametrize("threaded", [True, False])
def test_an_answer_that_does_not_come_is_missing(db: str, threaded: bool) -> None:
    """A late answer is missing after the given time and arrives later; a killed server gives none."""
    with RawClient(command_on(db), threaded=threaded) as client:
        client.ready()
        waiting = client.send("feature_claim_and_get", wait_seconds=1)
        began = time.monotonic()
        with pytest.raises(MissingAnswer, match="is late"):
            client.message(waiting, within=0.1)
        assert time.monotonic() - began < 5
        assert client.answer(waiting)["state"] == "empty"
        waiting = client.send("feature_claim_and_get", wait_seconds=30)
        client.kill()
        with pytest.raises(MissingAnswer, match="ended"):
            client.message(waiting)
