"""Over HTTP the claim token identifies the holder, because no connection does."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime

import pytest

from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs_schema.refusals import ClaimLost, InvalidInput, TokenRequired, UnmetDependencies
from listening import STATEFUL, STATELESS, Caller, Listening, listening, read

DETACHED = 600
NEW = {"category": "shop", "description": "A thing.", "steps": ["look"]}
ERAS = pytest.mark.parametrize("revision", [STATEFUL, STATELESS])


@pytest.fixture(scope="module")
def http_db(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The database that the module's server serves."""
    with new_db() as name:
        yield name


@pytest.fixture(scope="module")
def server(http_db: str) -> Iterator[Listening]:
    """One server over HTTP for the tests of this module."""
    with listening(http_db, "--detached-lease", str(DETACHED)) as one:
        yield one


@pytest.fixture
def client(server: Listening) -> Iterator[Callable[..., Caller]]:
    """Makes clients of the server."""
    callers: list[Caller] = []

    def connect(revision: str = STATEFUL, **headers: str) -> Caller:
        callers.append(Caller(server.url, revision, headers))
        return callers[-1]

    yield connect
    for one in callers:
        one.close()


@pytest.fixture
def one(client: Callable[..., Caller]) -> int:
    """A new feature that can be claimed."""
    number: int = client().call("feature_create", name="one", **NEW, allow_duplicates=True)["ids"][0]
    return number


def lease_end(db: str, feature: int) -> float:
    """Return the time in the database at which the lease of a claim expires."""
    from sqlalchemy import select

    from dibs.rules.conditions import F, this

    opened: Database = open_database(Settings(db=db))
    try:
        return float(opened.read_now(lambda tx: tx.value(select(F.lease_expires_at).where(this()), feature=feature)))
    finally:
        opened.close(patience=5)


@ERAS
def test_the_token_is_always_needed(client: Callable[..., Caller], one: int, revision: str) -> None:
    """Even the client that claimed needs the token for its calls."""
    caller = client(revision)
    token = caller.call("feature_claim_and_get", feature_id=one)["claim"]["token"]
    assert isinstance(caller.refusal("feature_mark_passing", feature_id=one), TokenRequired)
    assert isinstance(caller.refusal("feature_heartbeat", feature_id=one), TokenRequired)
    assert caller.call("feature_mark_passing", feature_id=one, claim_token=token)["status"] == "passing"


@ERAS
def test_a_token_from_one_session_works_in_another(client: Callable[..., Caller], one: int, revision: str) -> None:
    """The token works from any session, and no call works without it."""
    token = client(revision).call("feature_claim_and_get", feature_id=one)["claim"]["token"]
    other = client(revision)
    assert isinstance(other.refusal("feature_skip", feature_id=one, reason="no", claim_token="0" * 13), ClaimLost)
    assert other.call("feature_mark_passing", feature_id=one, claim_token=token)["status"] == "passing"


def test_a_holder_without_a_name_is_shown_by_its_session(client: Callable[..., Caller]) -> None:
    """Each session has its own name, the same for all its claims, which reveals nothing about the session's id."""
    here, there = client(), client()
    ids = here.call("feature_create_bulk", features=[{"name": f"f{n}", **NEW} for n in range(3)])["ids"]
    for caller, number in zip((here, here, there), ids, strict=True):
        caller.call("feature_mark_in_progress", feature_id=number)
    names = [here.call("feature_get_by_id", feature_id=number)["claimed_by"] for number in ids]
    assert names[0] == names[1] != names[2]
    assert all(re.fullmatch(r"[\w-]+-[0-9a-f]{4}", name) for name in names)
    assert here.session is not None
    assert names[0][-4:] not in here.session[:8]


@ERAS
def test_the_lease_is_a_detached_one_and_its_token_renews_it(
    client: Callable[..., Caller], one: int, http_db: str, revision: str
) -> None:
    """The server does not renew a claim; each call with its token renews the detached lease."""
    caller = client(revision)
    claim = caller.call("feature_claim_and_get", feature_id=one)["claim"]
    assert claim["renewed"] is False
    ends = datetime.fromisoformat(claim["expires_at"]).timestamp()
    assert DETACHED - 10 < ends - time.time() <= DETACHED + 1
    begun = lease_end(http_db, one)
    other = caller.call("feature_create", name="before", **NEW)["ids"][0]
    caller.call("feature_add_dependency", feature_id=one, dependency_id=other)
    time.sleep(0.3)
    assert lease_end(http_db, one) == begun
    refused = caller.refusal("feature_mark_passing", feature_id=one, claim_token=claim["token"])
    assert isinstance(refused, UnmetDependencies)
    renewed = lease_end(http_db, one)
    assert renewed > begun + 0.25
    time.sleep(0.3)
    caller.call("feature_heartbeat", feature_id=one, claim_token=claim["token"])
    assert lease_end(http_db, one) > renewed + 0.25


def test_the_instructions_say_how_long_a_lease_is(client: Callable[..., Caller]) -> None:
    """The instructions say that the lease is not renewed, how long it lasts, and which call renews it."""
    told = read(client(STATELESS).post("server/discover", {}))["result"]["instructions"]
    assert "nobody renews the lease" in told
    assert f"{DETACHED // 60} minutes" in told
    assert "feature_heartbeat" in told
    assert len(told) < 2_000


def test_the_end_of_a_session_ends_no_claim(client: Callable[..., Caller], one: int) -> None:
    """A client that ends its session, or only disconnects, keeps its claims."""
    gone, other = client(), client()
    token = gone.call("feature_claim_and_get", feature_id=one)["claim"]["token"]
    assert gone.end_session() in {200, 204}
    gone.close()
    assert other.call("feature_get_by_id", feature_id=one)["status"] == "in_progress"
    assert other.call("feature_mark_passing", feature_id=one, claim_token=token)["status"] == "passing"


@ERAS
def test_a_client_that_left_is_given_nothing(client: Callable[..., Caller], revision: str) -> None:
    """A client that disconnects while its claim waits gets no claim."""
    client(revision).call_and_leave("feature_claim_and_get", 0.7, category=revision, wait_seconds=20)
    caller = client()
    number = caller.call("feature_create", name="late", **{**NEW, "category": revision})["ids"][0]
    time.sleep(0.5)
    answer = caller.call("feature_claim_and_get", category=revision)
    assert (answer["state"], answer.get("feature", {}).get("id")) == ("claimed", number)


def test_a_request_id_without_a_session_needs_a_name(client: Callable[..., Caller], one: int) -> None:
    """Without sessions a claim's request_id requires an agent name."""
    caller = client(STATELESS)
    refused = caller.refusal("feature_claim_and_get", feature_id=one, request_id="1")
    assert isinstance(refused, InvalidInput)
    assert refused.details["field"] == "request_id"
    asked = {"feature_id": one, "request_id": "1", "agent": "ada"}
    first = caller.call("feature_claim_and_get", **asked)
    assert client(STATELESS).call("feature_claim_and_get", **asked)["claim"]["token"] == first["claim"]["token"]
    caller.call("feature_mark_passing", feature_id=one, claim_token=first["claim"]["token"])


@ERAS
@pytest.mark.parametrize(
    ("header", "status"),
    [({"host": "evil.example.com"}, 421), ({"origin": "http://evil.example.com"}, 403)],
    ids=["host", "origin"],
)
def test_a_page_of_another_site_is_refused(
    server: Listening, revision: str, header: dict[str, str], status: int
) -> None:
    """Requests with a foreign Host or Origin, as from a web page, are refused."""
    caller = Caller(server.url, STATELESS, header)
    asked = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    method = "initialize" if revision == STATEFUL else "tools/list"
    request = caller.request(method, asked if revision == STATEFUL else {})
    if revision == STATEFUL:
        del request.headers["mcp-protocol-version"]
    response = caller._http.send(request)
    caller.close()
    assert (response.status_code, "features" in response.text) == (status, False)


@pytest.mark.timing
@ERAS
def test_an_answer_waits_for_no_acknowledgement(client: Callable[..., Caller], revision: str) -> None:
    """The fastest of some calls is far below the 40 ms for which a client's kernel may hold an acknowledgement back."""
    caller = client(revision)
    times = []
    for _ in range(15):
        began = time.monotonic()
        caller.call("feature_get_stats")
        times.append(time.monotonic() - began)
    assert min(times) < 0.03


def test_a_signal_ends_it_and_no_claim(db: str) -> None:
    """At SIGTERM the server answers waiting calls, ends streams, exits with status 0 soon, and releases no claim."""
    with listening(db) as first:
        caller, waiting = Caller(first.url), Caller(first.url)
        number = caller.call("feature_create", name="one", **NEW, allow_duplicates=True)["ids"][0]
        token = caller.call("feature_claim_and_get")["claim"]["token"]
        stream = caller.open_stream()
        answers: list[dict[str, object]] = []
        waiter = threading.Thread(target=lambda: answers.append(waiting.call("feature_claim_and_get", wait_seconds=45)))
        waiter.start()
        time.sleep(0.5)
        began = time.monotonic()
        assert first.end() == 0
        assert time.monotonic() - began < 5
        waiter.join(10)
        assert answers, "the call that waited was not answered"
        assert answers[0]["state"] == "waiting_for_claims"
        assert "Traceback" not in first.said()
        stream.close()
        caller.close()
        waiting.close()
    with listening(db) as second:
        caller = Caller(second.url)
        assert caller.call("feature_mark_passing", feature_id=number, claim_token=token)["status"] == "passing"
        caller.close()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--http", "0.0.0.0:0"], "`dibs serve --http 0.0.0.0:0 --tls-cert CERTIFICATE"),
        (["--http", "db.example.com:80"], "--behind-proxy ADDRESS_OF_PROXY --public-url https://NAME`"),
        (["--http", "soon"], "HOST:PORT"),
        (["--http", "0", "--agent", "ada"], "there are many"),
    ],
)
def test_what_cannot_be_served_is_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, flags: list[str], words: str
) -> None:
    """A host other than loopback, an invalid port and `--agent` are refused before anything is opened."""
    file = tmp_path_factory.mktemp("refused") / "features.db"
    command = [sys.executable, "-m", "dibs", "serve", "--db", str(file), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, file.exists()) == (2, False)
    assert words in done.stderr


def test_a_port_that_is_taken_is_told(server: Listening) -> None:
    """A second server on the same port reports that the port is taken."""
    port = server.url.rsplit(":", 1)[1].partition("/")[0]
    command = [sys.executable, "-m", "dibs", "serve", "--http", port]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
