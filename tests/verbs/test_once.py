"""An idempotency key takes effect once and has one answer, for seven days."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, select, update

from dibs.database import Database, open_database
from dibs.database.transaction import Transaction
from dibs.rules.idempotency import KEPT, Request, once
from dibs.settings import Settings
from dibs.verbs import claim, outcome
from dibs.verbs.continue_claim import replay_claim
from dibs.verbs.create import create
from dibs_schema.answers import Claimed, Created, Idle
from dibs_schema.refusals import ClaimLost, NotFound, RequestReused
from dibs_schema.tables import requests
from verbs.stage import add, board, named, new, refused


def _request(key: str = "key", *, scope: str = "", **arguments: Any) -> Request:
    request = Request.of(key, "feature_create", {"name": "a", **arguments}, scope)
    assert request is not None
    return request


def _create(tx: Transaction, request: Request | None = None) -> Created:
    return once(tx, request, Created, lambda: create(tx, "planner", new()))


def _features(database: Database) -> int:
    return len(board(database)["features"])


def _age(database: Database, seconds: float) -> None:
    """Make the stored requests of the project older by this number of seconds."""
    older = update(requests).values(created_at=requests.c.created_at - seconds)
    database.write_now(lambda tx: tx.run(older.where(requests.c.project_id == tx.project.id)))


def test_the_same_request_has_one_effect(database: Database) -> None:
    """The second call with a key returns the first one's answer and writes nothing."""
    first = database.write_now(partial(_create, request=_request()))
    before = board(database)
    assert database.write_now(partial(_create, request=_request())) == first
    assert board(database) == before


def test_without_a_key_each_call_is_its_own(database: Database) -> None:
    """Without a key a repeated call takes effect again."""
    assert Request.of(None, "feature_create", {}) is None
    database.write_now(_create)
    database.write_now(_create)
    assert _features(database) == 2
    assert board(database)["requests"] == []


def test_a_key_with_other_arguments_is_refused(database: Database) -> None:
    """A key stands for its arguments and its tool, whatever their order."""
    database.write_now(partial(_create, request=_request(category="c")))
    same = Request.of("key", "feature_create", {"category": "c", "name": "a"})
    database.write_now(partial(_create, request=same))
    assert _features(database) == 1
    for other in (
        _request(category="d"),
        Request.of("key", "feature_create_bulk", {"name": "a", "category": "c"}),
    ):
        refusal = refused(database, RequestReused, partial(_create, request=other))
        assert refusal.details["request_id"] == "key"


def test_keys_of_other_scopes_are_other_keys(database: Database, shared_db: str) -> None:
    """The same key under another name, or in another project, is another request."""
    for request in (_request(scope="ada"), _request(scope="grace"), _request()):
        database.write_now(partial(_create, request=request))
    assert _features(database) == 3
    neighbour = open_database(Settings(db=shared_db, project=f"neighbour {id(database)}"))
    try:
        neighbour.write_now(partial(_create, request=_request()))
        assert _features(neighbour) == 1
    finally:
        neighbour.close(patience=5)


def test_what_was_refused_is_not_kept(database: Database) -> None:
    """A refused call leaves its key free for the corrected one."""

    def fail(tx: Transaction) -> Created:
        return once(tx, _request(), Created, lambda: create(tx, "planner", new(dependencies=[99])))

    refused(database, NotFound, fail)
    database.write_now(partial(_create, request=_request()))
    assert _features(database) == 1


def test_a_key_lasts_seven_days(database: Database) -> None:
    """Just before the end of its seven days a key still returns its answer, whatever other calls were made."""
    first = database.write_now(partial(_create, request=_request()))
    _age(database, KEPT - 60)
    database.write_now(partial(_create, request=_request("another")))
    assert database.write_now(partial(_create, request=_request())) == first


@pytest.mark.parametrize("arguments", [{}, {"category": "other"}], ids=["same arguments", "other arguments"])
def test_a_key_is_forgotten_after_seven_days(database: Database, arguments: dict[str, str]) -> None:
    """A key that is older than seven days is free again, even if no other call came in between."""
    first = database.write_now(partial(_create, request=_request()))
    _age(database, KEPT + 60)
    again = database.write_now(partial(_create, request=_request(**arguments)))
    assert again.ids != first.ids


def test_old_keys_are_swept_away(database: Database) -> None:
    """Storing a new key deletes expired keys, so that the table does not grow forever."""
    for number in range(3):
        database.write_now(partial(_create, request=_request(f"old {number}")))
    _age(database, KEPT + 60)
    database.write_now(partial(_create, request=_request("new")))
    kept = database.read_now(
        lambda tx: tx.value(select(func.count()).select_from(requests).where(requests.c.project_id == tx.project.id))
    )
    assert kept == 1


def test_processes_that_repeat_a_request_at_once_have_one_effect(database: Database, shared_db: str) -> None:
    """The same key from many connections at the same moment creates one feature, and all get its id."""
    project = database.write_now(lambda tx: tx.project.name)
    got: list[list[int]] = []

    def ask() -> None:
        mine = open_database(Settings(db=shared_db, project=project))
        try:
            got.append(mine.write_now(partial(_create, request=_request())).ids)
        finally:
            mine.close(patience=5)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [[1]] * 6
    assert _features(database) == 1


def _claim(tx: Transaction, name: str = "ada") -> Claimed | Idle:
    holder = named(name)
    request = Request.of("key", "feature_claim_and_get", {}, name)
    return once(
        tx,
        request,
        Claimed,
        lambda: claim.claim(tx, holder),
        replay=lambda kept: replay_claim(tx, holder, kept),
    )


def test_a_lost_claim_is_given_again(database: Database) -> None:
    """A claim that is repeated with its key returns the same token and the same feature."""
    add(database)
    first, again = database.write_now(_claim), database.write_now(_claim)
    assert isinstance(first, Claimed)
    assert isinstance(again, Claimed)
    assert again.feature.wire() == first.feature.wire()
    assert again.claim.token == first.claim.token
    assert again.claim.expires_at >= first.claim.expires_at, "the lease begins again"


def test_a_replayed_claim_that_has_ended_is_lost(database: Database) -> None:
    """The answer is repeated only while the token is valid."""
    add(database, 2)
    first = database.write_now(_claim)
    assert isinstance(first, Claimed)
    database.write_now(lambda tx: outcome.mark_passing(tx, "ada", first.feature.id, first.claim.token))
    refused(database, ClaimLost, _claim)


def test_an_idle_answer_is_not_kept(database: Database) -> None:
    """A claim that found nothing changed no rows, so its key is still free when there is work."""
    assert isinstance(database.write_now(_claim), Idle)
    assert board(database)["requests"] == []
    add(database)
    assert isinstance(database.write_now(_claim), Claimed)
