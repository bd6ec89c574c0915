"""Clients over HTTP and over stdio race for one backlog."""

from __future__ import annotations

import threading
import time
from typing import Any

from dibs_schema.refusals import Refusal
from listening import STATEFUL, STATELESS, Caller, listening
from races.locks import held, let_go
from races.servers import ServerClient, StartServer

FEATURES = 40
NEW = {"category": "c", "description": "d", "steps": ["s"]}


def drain(caller: Caller | ServerClient, begin: threading.Barrier, won: list[tuple[int, str]]) -> None:
    """Claim and pass until everything passes, and record the claims."""
    begin.wait()
    while (answer := caller.call("feature_claim_and_get", wait_seconds=5))["state"] != "complete":
        if answer["state"] == "claimed":
            number, token = answer["feature"]["id"], answer["claim"]["token"]
            won.append((number, token))
            if len(won) == 1:
                begin.wait()  # so that no client takes all features before the others start
            caller.call("feature_mark_passing", feature_id=number, claim_token=token)


def test_clients_of_both_transports_never_get_the_same_feature(db: str, start: StartServer) -> None:
    """Two HTTP sessions, a client without one, and a stdio server drain a backlog: each feature has one winner."""
    with listening(db) as server:
        stdio = start().ready()
        stdio.call("feature_create_bulk", features=[{"name": f"f{n}", **NEW} for n in range(FEATURES)])
        callers: list[Any] = [Caller(server.url), Caller(server.url), Caller(server.url, STATELESS), stdio]
        begin = threading.Barrier(len(callers))
        won: list[list[tuple[int, str]]] = [[] for _ in callers]
        threads = [
            threading.Thread(target=drain, args=(caller, begin, mine))
            for caller, mine in zip(callers, won, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(number for mine in won for number, _ in mine) == list(range(1, FEATURES + 1))
        assert all(won), "each client got some"
        assert stdio.call("feature_get_stats")["counts"]["passing"] == FEATURES
        late = won[0][0]
        refused = None
        try:
            callers[1].call("feature_heartbeat", feature_id=late[0], claim_token=late[1])
        except Refusal as refusal:
            refused = refusal.code
        assert refused == "claim_lost"
        for caller in callers[:3]:
            caller.close()


def test_a_claim_made_for_a_client_that_has_left_is_given_back(db: str) -> None:
    """A client that leaves while its claim waits for the lock holds nothing when the lock is free."""
    with listening(db) as server:
        staying = Caller(server.url)
        for revision in (STATEFUL, STATELESS):
            (number,) = staying.call("feature_create", name=f"one in {revision}", **NEW)["ids"]
            leaving = Caller(server.url, revision)
            with held("engine", db) as holder:
                leaving.call_and_leave("feature_claim_and_get", 0.7)
                time.sleep(0.5)  # the server notices the closed connection before the lock is free
                let_go(holder)
            answer = staying.call("feature_claim_and_get", wait_seconds=10)
            assert answer["state"] == "claimed", (revision, answer)
            assert answer["feature"]["id"] == number
            leaving.close()
        staying.close()
