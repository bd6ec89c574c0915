"""A feature breaks again and again while agents build on it and testers check what passed: nothing is missed."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from dibs.database import Database
from dibs.verbs.project_settings import change_setting
from dibs_schema.refusals import UnmetDependencies
from dibs_schema.status import SATISFIED, Kind, Status
from races.backlog import assert_sound, events_of, fill, row, rule, times
from races.servers import ServerClient, StartServer, up

CODERS, TESTERS = 3, 2
DEPENDENTS = times(20, 200)
REPORTS = times(5, 50)
"""How often each tester reports the base as broken."""
WITHIN = 240.0
BASE = 1


@pytest.mark.timeout(300)
def test_what_breaks_under_many_agents_is_told_and_tested_again(database: Database, start: StartServer) -> None:
    """Every break has one event for each dependent, giving up is free exactly if it is said, and all is tested again."""
    fill(database, DEPENDENTS + 1, [[]] + [[0]] * DEPENDENTS)
    rule(database, "max_attempts", 10_000)
    database.write_now(lambda tx: change_setting(tx, "test", "rechecks", "required"))
    coders = up(*(start("--role", "coder") for _ in range(CODERS)))
    testers = up(*(start("--role", "tester") for _ in range(TESTERS)))
    deadline = time.monotonic() + WITHIN
    with ThreadPoolExecutor(CODERS + TESTERS) as pool:
        tested = [pool.submit(_test, one, deadline) for one in testers]
        built = [pool.submit(_build, one, tested, deadline) for one in coders]
        for one in (*tested, *built):
            one.result()

    events = events_of(database)
    broken = sum(event["kind"] == Kind.REGRESS and event["feature_id"] == BASE for event in events)
    told = Counter(event["feature_id"] for event in events if event["kind"] == Kind.UNMET)
    assert told == dict.fromkeys(range(BASE + 1, DEPENDENTS + 2), broken)
    assert broken > 1
    status: dict[int, str] = {}
    for event in events:
        if event["kind"] == Kind.PASS and event["feature_id"] != BASE:
            assert status[BASE] in SATISFIED, "a feature passed on a broken one"
        if event["feature_id"] is not None and event["to_status"]:
            status[event["feature_id"]] = event["to_status"]
    for feature in range(BASE, DEPENDENTS + 2):
        there = row(database, feature)
        assert (there["status"], there["recheck_since"]) == (Status.PASSING, None)
    assert_sound(database)


def _build(server: ServerClient, tested: list[Future[None]], deadline: float) -> None:
    """Claim and pass features until all is tested; give up what cannot be passed, and check the cost."""
    while not all(one.done() for one in tested):  # a complete project may break again
        answer = server.call("feature_claim_and_get", wait_seconds=1)
        assert time.monotonic() < deadline, answer
        if answer["state"] != "claimed":
            continue
        mine = {"feature_id": answer["feature"]["id"], "claim_token": answer["claim"]["token"]}
        assert server.call("feature_heartbeat", **mine).get("blocked_by", [BASE]) == [BASE]
        refusal = server.refusal("feature_mark_passing", **mine)
        if refusal is None:
            continue
        assert isinstance(refusal, UnmetDependencies), refusal
        released = server.call("feature_clear_in_progress", **mine)
        attempts = answer["feature"].get("attempts", 1) - ("blocked_by" in released)
        assert released == {"id": mine["feature_id"], "status": "pending"} | (
            ({"attempts": attempts} if attempts else {}) | ({"blocked_by": [BASE]} if "blocked_by" in released else {})
        )


def _test(server: ServerClient, deadline: float) -> None:
    """Report the base as broken as often as asked, and test what passes until nothing awaits a recheck."""
    reports = 0
    while True:
        assert time.monotonic() < deadline
        if reports < REPORTS and server.refusal("feature_mark_failing", feature_id=BASE, reason="it broke") is None:
            reports += 1
        for feature in server.call("feature_get_for_regression", limit=5)["features"]:
            # It may have been found broken, or it may break, at this moment.
            server.refusal("feature_mark_passing", feature_id=feature["id"])
        stats = server.call("feature_get_stats")
        all_pass = stats["counts"].get("passing") == stats["total"] and "to_recheck" not in stats["counts"]
        if reports == REPORTS and all_pass:
            return
        time.sleep(0.02)
