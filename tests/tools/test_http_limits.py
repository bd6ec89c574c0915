"""What a server over HTTP does with too many, too slow and too large connections, sessions and messages.

Each test prints what it measured.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # has no types; the wheel requires it
import pytest
from mcp.server.streamable_http_manager import DEFAULT_SESSION_IDLE_TIMEOUT

from dibs.http.connections import (
    HEADER_SECONDS,
    LONGEST_HEADERS,
    MOST_CONNECTIONS,
    READING_SECONDS,
    RESERVED_FILES,
)
from dibs.http.listener import LATEST, PATIENCE
from dibs.mcp.log_lines import MOST_ALIKE
from dibs.mcp.resources.subscriptions import MOST
from dibs.mcp.transport import LONGEST_MESSAGE
from dibs.mcp.transport.http_body import BODY_SECONDS, MOST_IN_FLIGHT, SMALL
from dibs.mcp.transport.http_sessions import MOST_SESSIONS
from listening import CLIENT, STATEFUL, STATELESS, Caller, Listening, listening

POST = (
    "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: application/json, text/event-stream\r\n"
    "Content-Type: application/json"
)
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": STATEFUL, "capabilities": {}, "clientInfo": CLIENT},
}
NEW = {"category": "shop", "name": "one", "description": "A thing.", "steps": ["look"]}
SLOW_MACHINE = 60.0
"""Seconds that a busy machine may take in addition to a deadline."""


@pytest.fixture(scope="module")
def server(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[Listening]:
    """One server over HTTP for the tests that leave it as it was."""
    with new_db() as db, listening(db) as one:
        yield one
        assert "Traceback" not in one.said()


def port_of(server: Listening) -> int:
    """Return the port that a server listens on."""
    found = re.search(r":(\d+)/mcp", server.url)
    assert found
    return int(found[1])


def connect(server: Listening) -> socket.socket:
    """Open a connection, and send nothing."""
    return socket.create_connection(("127.0.0.1", port_of(server)), timeout=60)


def memory(server: Listening) -> int:
    """Return the resident memory of a server in MiB."""
    return int(psutil.Process(server.process.pid).memory_info().rss) >> 20


def most_memory(server: Listening) -> int:
    """Return the most resident memory that a server has had, in MiB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) >> 10


def answer_to(one: socket.socket) -> tuple[int, str]:
    """Return the status and the text of the next answer that ends, or (0, "") if the connection ends without one."""
    received = b""
    while b"\r\n\r\n" not in received:
        try:
            part = one.recv(1 << 16)
        except ConnectionResetError:
            part = b""
        if not part:
            return 0, ""
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    while length and len(body) < int(length[1]):
        body += one.recv(1 << 16)
    return int(head.split()[1]), body.decode()


def asked(server: Listening, request: str | bytes) -> tuple[int, str]:
    """Send a request as it is, and return the answer's status and text."""
    with connect(server) as one:
        one.sendall(request.encode() if isinstance(request, str) else request)
        return answer_to(one)


def whole(message: object) -> str:
    """Return the request that posts a message outside of any session."""
    body = json.dumps(message)
    return f"{POST}\r\nContent-Length: {len(body)}\r\n\r\n{body}"


def serves(server: Listening) -> bool:
    """Return whether a new client is served."""
    with closing(Caller(server.url)) as caller:
        return "total" in caller.call("feature_get_stats")


@contextmanager
def held(count: int, make: Callable[[], socket.socket]) -> Iterator[list[socket.socket]]:
    """Hold connections open during the block."""
    with ExitStack() as stack:
        yield [stack.enter_context(make()) for _ in range(count)]


# -- connections ----------------------------------------------------------------------------------


def test_idle_connections_keep_nobody_out(db: str) -> None:
    """More idle connections than the process may have files: clients are served meanwhile, and it ends with status 0."""
    with listening(db, files=(100, 256)) as server:
        assert serves(server)
        assert psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_NOFILE) == (256, 256)
        with held(400, lambda: connect(server)):
            assert serves(server)
            print(f"\n400 idle connections, {psutil.Process(server.process.pid).num_fds()} files, {memory(server)} MiB")
            assert psutil.Process(server.process.pid).num_fds() < 256
        assert serves(server)
        assert server.end() == 0
        assert len(server.said().splitlines()) < 10, server.said()


def test_connections_in_use_are_not_ended_for_new_ones(db: str) -> None:
    """If all connections that there may be are in use, a new one hears the limit, until one of them has ended."""
    most = 128 - RESERVED_FILES
    with listening(db, files=(128, 128)) as server, ExitStack() as stack:
        callers = [stack.enter_context(closing(Caller(server.url))) for _ in range(most)]
        streams = [caller.open_stream() for caller in callers]
        status, words = asked(server, whole(INITIALIZE))
        assert (status, f"{most} connections" in words) == (503, True), words
        assert f"{most} connections" in server.said()
        streams[0].close()
        deadline = time.monotonic() + SLOW_MACHINE
        while asked(server, whole(INITIALIZE))[0] != 200:
            assert time.monotonic() < deadline
        assert server.end() == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.only_on("sqlite", reason="it waits for deadlines in which no database takes part")
def test_what_is_sent_in_part_is_refused_in_time(db: str) -> None:
    """Half headers and half bodies are refused, and the limit is named; memory stays bounded; others are served."""
    half = f"{POST}\r\nContent-Length: {4 << 20}\r\n\r\n".encode()
    with listening(db) as server, held(302, lambda: connect(server)) as (silent, headers, *bodies):
        assert serves(server)
        before = memory(server)
        began = time.monotonic()
        headers.sendall(b"POST /mcp HTTP/1.1\r\nHost: localh")
        for one in bodies:
            one.sendall(half)
        for one in bodies:
            one.sendall(b"x" * (1 << 20))
        assert serves(server)
        print(f"\n300 bodies of which 1 MiB was sent: {before} -> {most_memory(server)} MiB")
        assert most_memory(server) - before < 1.5 * (MOST_IN_FLIGHT >> 20)
        answers = [answer_to(one) for one in bodies]
        print(f"answers: {Counter(status for status, _ in answers)} after {time.monotonic() - began:.0f} s")
        assert time.monotonic() - began < BODY_SECONDS + SLOW_MACHINE
        assert {(503, "128 MiB"), (408, f"{BODY_SECONDS:g} s")} == {
            (status, re.findall(r"128 MiB|\d+ s", words)[0]) for status, words in answers
        }
        assert answer_to(silent) == (0, "")
        status, words = answer_to(headers)
        assert (status, f"{HEADER_SECONDS} s" in words) == (408, True), words
        assert serves(server)


def test_a_server_that_can_accept_nobody_ends_with_an_error(db: str) -> None:
    """If the system gives it no file for a connection, it says so once, and ends with status 1 ten seconds later."""
    with listening(db) as server:
        assert serves(server)
        process = psutil.Process(server.process.pid)
        process.rlimit(psutil.RLIMIT_NOFILE, (3, process.rlimit(psutil.RLIMIT_NOFILE)[1]))
        with held(3, lambda: connect(server)):
            assert server.process.wait(60) == 1
        said = server.said().splitlines()
        assert sum("accept" in line for line in said) == 2, said
        assert "Traceback" not in server.said()


def test_a_signal_ends_it_whatever_is_open(db: str) -> None:
    """Streams, calls that wait, half requests and answers that nobody reads hold up the end for some seconds at most."""
    with listening(db) as server, ExitStack() as stack:
        for _ in range(10):
            caller = stack.enter_context(closing(Caller(server.url)))
            stack.enter_context(closing(caller.open_stream()))
            caller.call_and_leave("feature_claim_and_get", 0.01, wait_seconds=45)
        for part in ("", "POST /mcp HTTP/1.1\r\nHost: localh", f"{POST}\r\nContent-Length: 999\r\n\r\nhalf"):
            for _ in range(10):
                stack.enter_context(connect(server)).sendall(part.encode())
        deaf = stack.enter_context(connect(server))
        deaf.setblocking(False)
        with suppress(BlockingIOError):
            for _ in range(20_000):
                deaf.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        began = time.monotonic()
        assert server.end() == 0
        print(f"\nSIGTERM: ended after {time.monotonic() - began:.1f} s")
        assert time.monotonic() - began < 10


# -- sessions -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_session_that_was_idle_for_longest_ends_for_a_new_one(db: str) -> None:
    """Many more sessions than there may be: each begins, and the ones that are in use or may hold a claim live on."""
    with listening(db) as server, ExitStack() as stack:
        holder, reader, idle = (stack.enter_context(closing(Caller(server.url))) for _ in range(3))
        number = holder.call("feature_create", **NEW)["ids"][0]
        token = holder.call("feature_claim_and_get")["claim"]["token"]
        stack.enter_context(closing(reader.open_stream()))
        before = memory(server)
        request = whole(INITIALIZE).encode()
        connection = stack.enter_context(connect(server))
        for _ in range(MOST_SESSIONS + 100):
            connection.sendall(request)
            assert stream_status(connection) == 200
        print(f"\n{MOST_SESSIONS + 100} sessions: {before} -> {memory(server)} MiB")
        assert memory(server) - before < 100
        assert idle.post("ping", {}).status_code == 404
        assert reader.post("ping", {}).status_code == 200
        assert holder.call("feature_mark_passing", feature_id=number, claim_token=token)["status"] == "passing"
        began = time.monotonic()
        assert server.end() == 0
        print(f"SIGTERM: ended after {time.monotonic() - began:.1f} s")
        assert time.monotonic() - began < 10
        assert len(server.said().splitlines()) < 12, "no flood of log lines"


def stream_status(one: socket.socket) -> int:
    """Read an answer that is a stream of events up to its end, and return its status."""
    received = b""
    while not received.endswith(b"0\r\n\r\n"):
        part = one.recv(1 << 16)
        assert part, received
        received += part
    return int(received.split()[1])


# -- messages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", [STATEFUL, STATELESS])
def test_the_largest_useful_call_is_answered(db: str, revision: str) -> None:
    """1,000 features with descriptions of 5 KB are created over HTTP as over stdio."""
    features = [{**NEW, "name": f"f{n}", "description": "d" * 5_000} for n in range(1_000)]
    with listening(db) as server, closing(Caller(server.url, revision)) as caller:
        before = memory(server)
        assert caller.call("feature_create_bulk", features=features)["count"] == 1_000
        print(f"\na call of 5 MB: {before} -> {most_memory(server)} MiB")


def test_a_message_that_is_too_long_is_refused_in_words(server: Listening) -> None:
    """Whether its length is said or only counted, it gets 413 with the limit, and the memory stays bounded."""
    status, words = asked(server, f"{POST}\r\nContent-Length: {LONGEST_MESSAGE + 1}\r\n\r\n")
    assert (status, "64 MiB" in words) == (413, True), words
    before = memory(server)
    with connect(server) as one:
        one.sendall(f"{POST}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
        for _ in range(70):
            one.sendall(chunk)
        status, words = answer_to(one)
    assert (status, "64 MiB" in words) == (413, True), words
    print(f"\na body without an end: {before} -> {most_memory(server)} MiB")
    assert most_memory(server) - before < 2 * (LONGEST_MESSAGE >> 20)
    assert serves(server)


ODD: list[tuple[str, int, str]] = [
    (f"{POST}\r\nX: {'x' * 70_000}\r\n\r\n", 431, "64 KiB"),
    (POST + "".join(f"\r\nX-{n}: y" for n in range(20_000)) + "\r\n\r\n", 431, "64 KiB"),
    (f"{POST}\r\nContent-Length: -1\r\n\r\n", 400, ""),
    (f"{POST}\r\nContent-Length: {'9' * 30}\r\n\r\n", 400, ""),
    (f"{POST}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12", 400, ""),
    (f"{POST}\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\n\r\n{{}}", 415, "Content-Encoding"),
    (POST.replace("HTTP/1.1", "HTTP/1.0") + "\r\nContent-Length: 2\r\n\r\n[]", 400, "batch"),
    ("GET /mcp HTTP/1.0\r\n\r\n", 421, "Host"),
    ("GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n", 400, "session"),
    ("GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: none\r\n\r\n", 404, "Session"),
    ("DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: none\r\n\r\n", 404, "Session"),
    ("DELETE /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "session"),
    ("PUT /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "POST"),
    ("OPTIONS /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "POST"),
    ("BREW /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "POST"),
    ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "/mcp"),
    ("GET http://evil.com/mcp HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "/mcp"),
    ("\x16\x03\x01\x02\x00\x01\x00", 400, "HTTP"),
]


def test_odd_requests_are_refused_at_once(server: Listening) -> None:
    """Each has its status and words, waits for no deadline, and the server goes on."""
    for request, status, words in ODD:
        began = time.monotonic()
        found, said = asked(server, request)
        assert (found, words in said) == (status, True), (request[:200], said)
        assert time.monotonic() - began < HEADER_SECONDS
    assert serves(server)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.only_on("sqlite", reason="it waits for a deadline in which no database takes part")
def test_a_client_that_reads_nothing_delays_no_other(db: str) -> None:
    """Answers that are not read are kept for a while only; other clients are served meanwhile."""
    with listening(db) as server, closing(Caller(server.url, STATELESS)) as caller, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # soon full
        deaf.connect(("127.0.0.1", port_of(server)))
        caller.call("feature_create", **{**NEW, "description": "d" * 20_000})
        request = caller.request("tools/call", {"name": "feature_get_by_id", "arguments": {"feature_id": 1}})
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        sent = f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + request.content
        deaf.setblocking(False)
        rest = sent
        began = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() - began < READING_SECONDS + SLOW_MACHINE:
                with suppress(BlockingIOError):
                    rest = rest[deaf.send(rest) :] or sent
                    continue
                assert serves(server)
                time.sleep(1)
            pytest.fail("the connection lives for ever")
        print(f"\nended after {time.monotonic() - began:.0f} s, {memory(server)} MiB")
        assert time.monotonic() - began > READING_SECONDS


def test_the_page_names_the_limits() -> None:
    """The guide has the numbers of the code."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "http.md").read_text(encoding="utf-8")
    for row in (
        f"| a message | {LONGEST_MESSAGE >> 20} MiB, as over stdio | 413 |",
        f"| the headers of a request | {LONGEST_HEADERS >> 10} KiB, within {HEADER_SECONDS} s |",
        f"| the body of a request | {BODY_SECONDS:g} s after",
        f"| {MOST_IN_FLIGHT >> 20} MiB without the first {SMALL >> 10} KiB of each |",
        f"| an answer that the client does not read | {READING_SECONDS:g} s |",
        f"| a connection without a request | {HEADER_SECONDS} s |",
        f"| connections | {MOST_CONNECTIONS:,}; with a low `ulimit -n`, {RESERVED_FILES} less than that |",
        f"| a session without a request or stream | {DEFAULT_SESSION_IDLE_TIMEOUT // 60} minutes |",
        f"| sessions | {MOST_SESSIONS:,} |",
        f"| subscriptions of a session or stream | {MOST:,} |",
        f"ends within {LATEST:g} s",
        f"no connection for {PATIENCE:g} s",
        f"{MOST_ALIKE} lines".replace("5", "five"),
    ):
        assert row in page, row
