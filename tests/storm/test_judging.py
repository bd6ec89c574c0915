"""A storm judges times and events; each excuse covers only its own delays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from dibs_proof.acknowledgements import Acknowledged, acknowledged, each_has_its_event
from dibs_proof.history.history import Call, Connection, History, Interruption
from dibs_proof.read_database import Event
from dibs_proof.storm.delays import Delays, without_servers
from dibs_proof.storm.event_watcher import Seen
from dibs_proof.storm.verdict import FREEZE, Latency
from dibs_schema.status import Kind

Span = tuple[float, float]


def call(begun: float, ended: float | None, tool: str = "feature_skip", **answer: Any) -> Call:
    """Return a call about feature 1, which has an answer if it has ended."""
    answer_ = {"id": 1, "status": "pending", **answer} if ended is not None else None
    return Call("ada", int(begun), tool, {"feature_id": 1, "reason": "why"}, begun, ended, answer_)


def frozen(
    calls: list[Call],
    *,
    foreign: Sequence[Span] = (),
    overloaded: Sequence[Span] = (),
    stops: Sequence[Span] = (),
) -> int:
    """Return how many of the calls count as frozen."""
    stopped = Connection("bob")
    for low, high in stops:
        stopped.interruptions += [Interruption("bob", "stopped", low), Interruption("bob", "continued", high)]
    history = History(connections={"bob": stopped}, calls=calls)
    return len(Latency(calls, Delays(history, foreign, overloaded, set())).no_freeze().broken)


LONG = call(100, 100 + FREEZE + 1)
BUSY = [call(90 + number / 10, 90 + number / 10 + 0.05) for number in range(300)]


@pytest.mark.parametrize(
    ("excuse", "count"),
    [
        ({}, 1),
        ({"foreign": [(99.0, 102.0)]}, 0),
        ({"foreign": [(0.0, 100.5)]}, 1),
        ({"overloaded": [(103.0, 105.0)]}, 0),
        ({"stops": [(101.0, 104.0)]}, 1),
    ],
)
def test_a_long_call_is_frozen_unless_others_had_the_lock(excuse: dict[str, list[Span]], count: int) -> None:
    """Foreign locks and a busy machine excuse a call; a server that is stopped while others write does not."""
    assert frozen([LONG, *BUSY], **excuse) == count


def test_a_stopped_server_excuses_while_no_write_is_answered() -> None:
    """The stopped server may have the lock at that time."""
    assert frozen([LONG, call(90, 91)], stops=[(101.0, 104.0)]) == 0


EVENT = Event(7, 1, "ada", "skip", "pending", "pending", "why")


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ({}, 0),
        ({"agent": ""}, 0),
        ({"agent": "bob"}, 1),
        ({"texts": frozenset({"because"})}, 1),
        ({"begun": 13.0, "ended": 14.0}, 1),
        ({"begun": 1.0, "ended": 9.0}, 1),
    ],
)
def test_an_acknowledgement_is_tied_to_its_own_event(change: dict[str, Any], lost: int) -> None:
    """An event of another agent, with another string, or of another time does not count for it."""
    given: dict[str, Any] = {
        "agent": "ada",
        "texts": frozenset({"why"}),
        "begun": 10.0,
        "ended": 12.0,
    } | change
    one = Acknowledged(Kind.SKIP, 1, status="pending", **given)
    assert len(each_has_its_event([one], [EVENT], lambda _: Seen(9.5, 12.5)).broken) == lost


def test_one_event_serves_one_acknowledgement() -> None:
    """Two calls with an acknowledgement each need two events."""
    one = Acknowledged(Kind.SKIP, 1, "ada", "pending")
    assert len(each_has_its_event([one, one], [EVENT], lambda _: Seen(0, 1)).broken) == 1


def test_an_event_is_left_to_the_only_acknowledgement_that_it_fits() -> None:
    """A resume that made a claim does not use the event of the next resume, although that event would fit."""
    claim = Event(1, 1, "ada", Kind.CLAIM, "pending", "in_progress")
    resume = Event(2, 1, "ada", Kind.RESUME, "in_progress", "in_progress")
    seen = {1: Seen(10, 11), 2: Seen(10, 13)}  # a late watcher cannot distinguish the second event from the first
    first = Acknowledged(Kind.RESUME, 1, "ada", "in_progress", begun=10, ended=11)
    second = Acknowledged(Kind.RESUME, 1, "ada", "in_progress", begun=12, ended=13)
    assert each_has_its_event([first, second], [claim, resume], seen.__getitem__).broken == []
    assert len(each_has_its_event([first, second, second], [claim, resume], seen.__getitem__).broken) == 1


def test_a_lost_call_that_is_repeated_may_have_taken_effect_with_its_own_text() -> None:
    """The event may be as early as the first call with that token, and may have the string of any of the calls."""
    claim = Call("ada", 1, "feature_mark_in_progress", {"feature_id": 1}, 1, 2, {"id": 1, "token": "t"})
    asked = {"feature_id": 1, "claim_token": "t"}
    first = Call("ada", 2, "feature_skip", asked | {"reason": "one"}, 3)
    again = Call("ada", 3, "feature_skip", asked | {"reason": "two"}, 5, 6, {"id": 1, "status": "pending"})
    *_, ended = acknowledged(History(calls=[claim, first, again]), {"ada": "client-0001"})
    assert (ended.texts, ended.begun, ended.agent) == (frozenset({"one", "two"}), 3.0, "client-0001")


def test_the_reporter_of_a_regression_is_not_the_holder_of_the_claim() -> None:
    """A regression of a lost pass has the event of the connection that reported it."""
    claim = Call("ada", 1, "feature_mark_in_progress", {"feature_id": 1}, 1, 2, {"id": 1, "token": "t"})
    asked = {"feature_id": 1, "claim_token": "t"}
    lost = Call("ada", 2, "feature_mark_passing", asked, 3)
    broke = Call("bob", 1, "feature_mark_failing", asked | {"reason": "why"}, 5, 6, {"id": 1, "status": "pending"})
    *_, ended = acknowledged(History(calls=[claim, lost, broke]), {"ada": "client-0001", "bob": "client-0002"})
    assert (ended.kind, ended.agent) == (Kind.REGRESS, "client-0002")


def test_nobody_reaps_before_the_next_server_has_answered() -> None:
    """The time between the end of the last server and the first answer of the next one has no server."""
    history = History()
    for client, first, last in (("a.1", 1.0, 5.0), ("b.1", 3.0, 4.0), ("a.2", 9.0, 20.0), ("b.2", 25.0, None)):
        history.connections[client] = Connection(client)
        if last is not None:
            history.connections[client].interruptions.append(Interruption(client, "killed", last))
        history.calls += [Call(client, 1, "feature_get_stats", {}, first - 0.5, first, {})]
        history.calls += [Call(client, 2, "feature_get_stats", {}, first + 0.5, first + 1, {})]
    assert list(without_servers(history)) == [(5.0, 9.0), (20.0, 25.0)]
