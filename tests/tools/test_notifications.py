"""In both eras exactly the subscribers are notified of changes by any process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import anyio
import psutil  # type: ignore[import-untyped]  # it comes without types
import pytest

from dibs.database import Database, open_database
from dibs.mcp.resources.watcher import TROUBLED, Audience, Watch
from dibs.settings import Settings
from dibs.verbs.create import create_bulk
from dibs.verbs.outcome import mark_failing
from dibs.verbs.update import add_note
from foreign import connected
from races.servers import ServerClient, command_on
from tools.listening import ERAS, LIST_CHANGED, UPDATED, Listener, listening
from verbs.stage import add, named, new, rule, take

PROMISED = 0.5
"""Seconds from a commit in any process to its notification."""
NOISE = 1.0
"""Seconds by which a single notification may be later on a busy machine. Half of them must not be later."""
SILENCE = 0.5
"""Seconds within which notifications normally arrive."""

LISTS = tuple(f"features://{name}" for name in ("stats", "overview", "ready", "graph", "events"))

either_era = pytest.mark.parametrize("listener", ERAS, indirect=True)
one_era = pytest.mark.parametrize("listener", ERAS[1:], indirect=True)
once = pytest.mark.only_on("sqlite", reason="no engine plays a part")


@pytest.fixture(scope="module")
def place(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The database that the servers of this module share."""
    with new_db() as name:
        yield name


@pytest.fixture(scope="module")
def database(place: str) -> Iterator[Database]:
    """The same database in this process, which acts as another agent."""
    opened = open_database(Settings(db=place))
    yield opened
    opened.close(patience=5)


@pytest.fixture(scope="module")
def listener(request: pytest.FixtureRequest, place: str) -> Iterator[Listener]:
    """A server of each era with a client that listens; each test ends its subscriptions."""
    with listening(place, request.param) as one:
        yield one


@pytest.fixture(scope="module")
def worker(place: str) -> Iterator[ServerClient]:
    """A server process of another agent."""
    one = ServerClient(command_on(place))
    try:
        yield one.ready()
    finally:
        one.close()


def done(worker: ServerClient, tool: str, **arguments: Any) -> float:
    """Make a change by a call, and return the time of its acknowledgement."""
    request = worker.send(tool, **arguments)
    worker.answer(request)
    return worker.arrival(request)


@either_era
def test_what_another_process_does_is_told_within_half_a_second(
    listener: Listener, worker: ServerClient, database: Database
) -> None:
    """Each change is notified for exactly the resources that it changes."""
    (feature,) = add(database)
    (dependent,) = add(database, dependencies=[feature])
    ours, next_one = f"feature://{feature}", f"feature://{dependent}"
    everything = {*LISTS, ours, next_one}
    new = {"category": "c", "name": "n", "description": "d", "steps": ["s"], "allow_duplicates": True}
    moves: list[tuple[str, dict[str, Any], set[str]]] = [
        ("feature_mark_in_progress", {"feature_id": feature}, everything),
        ("feature_add_note", {"feature_id": feature, "text": "half of it"}, {"features://events", ours}),
        ("feature_mark_passing", {"feature_id": feature}, everything),
        ("feature_create", new, {*LISTS, "list"}),
        ("feature_update", {"feature_id": dependent, "archived": True}, {*everything, "list"}),
    ]
    end = listener.subscribe(*everything)
    delays = []
    for tool, arguments, expected in moves:
        listener.forget()
        since = done(worker, tool, **arguments)
        delays.append(listener.seconds_until(since, *expected))
        time.sleep(0.2)  # a wrong notification would come from the same read
        assert sorted(listener.heard()) == sorted(expected), tool
    end()
    print(f"seconds after the acknowledgement: {', '.join(f'{delay:.3f}' for delay in delays)}")
    assert statistics.median(delays) < PROMISED, delays
    assert max(delays) < PROMISED + NOISE, delays


@either_era
def test_what_the_same_process_does_is_told_too(listener: Listener, database: Database) -> None:
    """A client is notified of its own server's changes too."""
    (feature,) = add(database)
    end = listener.subscribe("features://stats")
    listener.forget()
    since = done(listener, "feature_mark_in_progress", feature_id=feature)
    assert listener.seconds_until(since, "features://stats") < PROMISED + NOISE
    end()


@either_era
def test_only_who_is_subscribed_is_told_and_only_of_what_comes_then(
    listener: Listener, worker: ServerClient, database: Database
) -> None:
    """Without a subscription there are no notifications, and changes between two subscriptions are not kept."""
    first, second, third = add(database, 3)
    listener.forget()
    done(worker, "feature_mark_in_progress", feature_id=first)
    assert listener.quiet_for(SILENCE) == [], "nobody had asked"
    end = listener.subscribe("features://stats", "features://events")
    done(worker, "feature_mark_in_progress", feature_id=second)
    assert listener.wait_until(lambda: "features://events" in listener.heard())
    end()
    listener.get("tools/list")  # notifications before this answer belonged to the subscription
    listener.forget()
    done(worker, "feature_mark_in_progress", feature_id=third)
    add(database)
    assert listener.quiet_for(SILENCE) == [], "the subscription had ended"
    end = listener.subscribe("features://stats")
    assert listener.quiet_for(SILENCE) == [], "nothing had happened since"
    listener.forget()
    since = done(worker, "feature_mark_passing", feature_id=third)
    assert listener.seconds_until(since, "features://stats") < PROMISED + NOISE
    end()


@one_era
def test_a_burst_is_told_in_a_few_notifications_and_to_its_end(listener: Listener, database: Database) -> None:
    """1,500 changes at once make few notifications, but reach the subscribers of the last feature too."""
    last = f"feature://{add(database)[0] + 1_500}"
    end = listener.subscribe("features://stats", last)
    listener.forget()
    began = time.monotonic()
    database.write_now(lambda tx: [create_bulk(tx, "planner", [new() for _ in range(750)]) for _ in "ab"])
    written = time.monotonic() - began
    listener.seconds_until(began, last)
    updates = listener.heard().count("features://stats")
    print(f"1,500 new features within {written:.1f} s: {updates} notifications")
    assert 1 <= updates <= 3
    end()


@one_era
def test_the_end_of_a_back_off_is_told(listener: Listener, worker: ServerClient, database: Database) -> None:
    """The end of a back-off is notified as a change of the ready features."""
    (feature,) = add(database)
    rule(database, back_off=3)
    end = listener.subscribe("features://ready")
    done(worker, "feature_mark_in_progress", feature_id=feature)
    failed = done(worker, "feature_mark_failing", feature_id=feature, reason="it does not start")
    time.sleep(2.0)
    listener.forget()
    late = listener.seconds_until(failed + 3.0, "features://ready")
    assert -0.3 < late < PROMISED + NOISE
    end()


@pytest.mark.anyio
async def test_an_end_that_is_seen_by_a_look_for_something_else_is_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An early poll still notifies of the end of a back-off."""
    monkeypatch.setattr("dibs.mcp.resources.watcher.SLACK", 60.0)  # so that no read is due at the end itself
    (feature,) = add(database)
    rule(database, back_off=1)
    told: list[str] = []
    heard = anyio.Event()

    async def tell(uri: str) -> None:
        told.append(uri)
        heard.set()

    built = anyio.Event()
    built.set()
    watch, audience = Watch(database, built), Audience(tell)
    audience.add("features://ready")
    async with anyio.create_task_group() as tasks:
        await watch.begin()
        watch.join(audience)
        tasks.start_soon(watch.run)
        token = take(database, named("ada"), feature).claim.token
        await database.write(lambda tx: mark_failing(tx, "ada", feature, "it does not start", token))
        with anyio.move_on_after(PROMISED + NOISE):
            await heard.wait()
        await anyio.sleep(0.3)
        assert told  # the notification of the failure
        told.clear()
        heard = anyio.Event()
        # Wait until after the end. On a server, another test's commit may cause an earlier read.
        await anyio.sleep(1.2)
        await database.write(lambda tx: add_note(tx, "bob", feature, "of which no list says anything"))
        with anyio.move_on_after(PROMISED + NOISE):
            await heard.wait()
        assert told == ["features://ready"]
        tasks.cancel_scope.cancel()


@once
@one_era
def test_calls_are_answered_while_many_changes_are_told(listener: Listener, database: Database) -> None:
    """Subscriptions to hundreds of features do not hold up a call."""
    ids = add(database, 300)
    alone = statistics.median(listener.timed("ping") for _ in range(20))
    end = listener.subscribe(*(f"feature://{one}" for one in ids))
    loaded = []
    for _ in range(6):
        (last,) = add(database, dependencies=ids[:20])
        loaded += [listener.timed("ping") for _ in range(5)]
    assert listener.wait_until(lambda: len(set(listener.heard())) >= 20), f"feature {last} builds on twenty"
    end()
    print(f"a ping: {alone * 1000:.1f} ms alone, {statistics.median(loaded) * 1000:.1f} ms under load")
    assert statistics.median(loaded) < alone + 0.05


@once
@either_era
def test_a_server_without_subscribers_looks_at_nothing(listener: Listener) -> None:
    """After its last subscription has ended a server sleeps; with a subscriber it wakes a few times per second."""
    end = listener.subscribe("features://stats")
    during = _wakes(listener)
    end()
    after = _wakes(listener)
    print(f"wakes in 0.7 s: {during} with a subscription, {after} after the last")
    assert after <= 2
    assert 4 <= during <= 100


def _wakes(listener: Listener) -> int:
    """Return how often the server's event loop woke within 0.7 s."""
    process = psutil.Process(listener.process.pid)
    listener.get("tools/list")
    time.sleep(0.1)
    before = process.num_ctx_switches().voluntary
    time.sleep(0.7)
    wakes: int = process.num_ctx_switches().voluntary - before
    return wakes


@pytest.mark.only_on("postgresql", reason="no connection to a file is lost")
@one_era
def test_subscribers_hear_on_after_the_database_was_lost(
    listener: Listener, worker: ServerClient, database: Database, place: str
) -> None:
    """After all database connections broke, subscribers are notified of later changes."""
    first, second = add(database, 2)
    end = listener.subscribe(f"feature://{first}", f"feature://{second}")
    with connected(place) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    listener.forget()
    since = done(worker, "feature_mark_in_progress", feature_id=first)
    assert listener.seconds_until(since, f"feature://{first}") < PROMISED + TROUBLED + NOISE
    listener.forget()
    since = done(worker, "feature_mark_in_progress", feature_id=second)
    assert listener.seconds_until(since, f"feature://{second}") < PROMISED + NOISE
    end()


@once
@pytest.mark.parametrize("era", ERAS)
def test_a_subscription_does_not_hold_up_the_end(place: str, era: str) -> None:
    """A server with a subscriber ends at once and normally when its input ends."""
    with listening(place, era) as other:
        other.subscribe("features://stats")
        began = time.monotonic()
        assert other.finish() == 0
        assert time.monotonic() - began < 3


@once
@either_era
def test_a_client_is_told_that_it_can_subscribe(listener: Listener) -> None:
    """The capabilities name subscriptions, the list's changes and completions, in `initialize` and `server/discover`."""
    if listener.is_modern:
        capabilities = listener.get("server/discover")["capabilities"]
    else:
        capabilities = listener.message(0)["result"]["capabilities"]
        assert capabilities["tools"] == capabilities["prompts"] == {"listChanged": False}, "they never change"
    assert capabilities["resources"] == {"subscribe": True, "listChanged": True}
    assert "completions" in capabilities


@once
@either_era
def test_what_cannot_be_subscribed_to_is_refused(listener: Listener, database: Database) -> None:
    """An invalid URI, and too many subscriptions, are refused with the protocol's code."""
    add(database)
    far = [f"feature://{10**6 + number}" for number in range(1_001)]
    listener.forget()
    for uris in (["feature://0"], ["feature://x"], ["features://nothing"], ["features://stats?a=1"], far):
        if listener.is_modern:
            refusal = listener.get("subscriptions/listen", notifications={"resourceSubscriptions": uris})
        else:
            refusal = listener.get("resources/subscribe", uri=uris[-1])
        assert refusal["code"] == -32602, refusal
    assert not any(one["method"] in (UPDATED, LIST_CHANGED) for _, one in listener.told)
