"""What an attacker tries against a server with access tokens, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from sqlalchemy import select

from authorization.site import Site, bearer, new_token, opened, site
from dibs.database import Database
from dibs.http import access_tokens
from dibs.http.authentication import Authentication
from dibs.mcp.transport import http_admission
from dibs.mcp.transport.http_sessions import MOST_SESSIONS
from dibs.rules.access_tokens import PATTERN, digest_of, has_form, new_access_token
from dibs.session.principal import Principal
from dibs.verbs.access_tokens import revoke_access_token, rotate_access_token
from dibs_schema.roles import Role
from dibs_schema.tables import events as event_table
from dibs_schema.tables import tokens as table
from listening import ACCEPT, CLIENT, STATEFUL, STATELESS, Caller

CALL = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).encode()
CANARY = "sesame-not-for-any-log"


@pytest.fixture(scope="module")
def secret(shared_db: str) -> str:
    """An access token of the module's server."""
    with opened(shared_db) as database:
        return new_token(database, "attacked", Role.ALL, "ada")


@pytest.fixture(scope="module")
def target(shared_db: str, secret: str) -> Iterator[Site]:
    """The module's server, which logs all that it can."""
    with site(shared_db, "--log", "DEBUG") as one:
        yield one


@pytest.fixture(scope="module")
def backlog(shared_db: str) -> Iterator[Database]:
    """The database beside the server."""
    with opened(shared_db) as database:
        yield database


def raw(target: Site, *headers: bytes, path: bytes = b"/mcp", body: bytes = CALL, host: bytes | None = None) -> bytes:
    """Send a POST request with exactly these header lines, and return the whole answer."""
    place = urlsplit(target.server.url)
    with closing(socket.create_connection((place.hostname, place.port), 10)) as one:
        lines = [
            b"POST " + path + b" HTTP/1.1",
            b"Host: " + (host or place.netloc.encode()),
            b"Content-Type: application/json",
            b"Accept: application/json, text/event-stream",
            b"MCP-Protocol-Version: 2026-07-28",
            b"Content-Length: %d" % len(body),
            b"Connection: close",
            *headers,
        ]
        one.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        received = b""
        while part := one.recv(65536):
            received += part
    return received


def answered(target: Site, *headers: bytes) -> bool:
    """Return whether a request with these header lines is carried out."""
    try:
        answer = raw(target, *headers)
    except ConnectionError:  # it was closed while the request was being sent
        return False
    return bool(answer) and status(answer) not in (400, 431)


def status(answer: bytes) -> int:
    """Return the status of an answer."""
    return int(answer.split(b" ", 2)[1])


def test_only_one_form_of_the_header_is_accepted(target: Site, secret: str) -> None:
    """The scheme's case and its spaces do not matter; another scheme, two headers or other characters are refused."""
    token = secret.encode()
    accepted = [
        b"Authorization: Bearer " + token,
        b"authorization: bearer   " + token,
        b"Authorization: BEARER " + token + b"  ",
    ]
    refused = [
        b"Authorization: " + token,
        b"Authorization: Bearer\t" + token,
        b"Authorization: Bearer " + token + b"," + token,
        b"Authorization: Bearer " + token + b" x",
        b"Authorization: Bearer \xff" + token,
        b"Authorization: Basic " + token,
        b"Authorization: Token " + token,
        b"Authorization: Bearer " + token[:-1],
        b"Authorization: Bearer " + token + b"0",
        b"Authorization: Bearer " + token.swapcase(),
        b"Authorization: Bearer " + b"dibs_" + b"a" * 8_000,
        b"Authorization: Bearer " + b"A" * 30_000,
        b"Authorization:",
        b"X-Authorization: Bearer " + token,
        b"Proxy-Authorization: Bearer " + token,
        b"Cookie: token=" + token,
    ]
    for line in accepted:
        assert b"protocolVersion" in raw(target, line), line[:60]  # the SDK misses the envelope
    for line in refused:
        answer = raw(target, line)
        assert status(answer) in (400, 401), (line[:60], answer[:200])
        assert status(answer) == 400 or b"www-authenticate: Bearer" in answer
    assert b"more than one Authorization" in raw(target, accepted[0], accepted[1])


def test_a_denied_request_is_not_offered_oauth(target: Site) -> None:
    """The challenge names no metadata, and there is none: clients that find some ignore the header they were given."""
    answer = raw(target)
    assert status(answer) == 401
    assert b'www-authenticate: Bearer realm="dibs"\r\n' in answer
    assert b"resource_metadata" not in answer
    origin = target.server.url.removesuffix("/mcp")
    for path in (
        "oauth-protected-resource",
        "oauth-protected-resource/mcp",
        "oauth-authorization-server",
        "openid-configuration",
    ):
        assert httpx2.get(f"{origin}/.well-known/{path}").status_code == 404


def test_a_denied_request_is_answered_before_its_body(target: Site) -> None:
    """The 401 comes while the body is still missing."""
    place = urlsplit(target.server.url)
    with closing(socket.create_connection((place.hostname, place.port), 10)) as one:
        one.sendall(b"POST /mcp HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n\r\n" % place.netloc.encode())
        assert status(one.recv(4096)) == 401


@pytest.mark.parametrize("path", ["?access_token={}", "?token={}", "?x=%64ibs_{rest}", "/{}", "?access_token=x"])
def test_a_token_in_the_url_is_refused(target: Site, secret: str, path: str) -> None:
    """A URL with an access token is refused, also beside a valid header, since others keep URLs."""
    written = path.format(secret, rest=secret.removeprefix("dibs_"))
    answer = raw(target, b"Authorization: Bearer " + secret.encode(), path=b"/mcp" + written.encode())
    assert (status(answer), b"does not belong in a URL" in answer) == (400, True)


def test_only_digests_are_stored_and_compared(backlog: Database, secret: str) -> None:
    """The database has the SHA-256 of a token, of which a comparison's time says nothing, and no row has the token."""
    rows = backlog.read_now(lambda tx: [dict(row) for row in tx.all(select(table))])
    assert digest_of(secret) in {row["digest"] for row in rows}
    assert secret not in repr(rows)
    assert secret.removeprefix("dibs_")[:20] not in repr(rows)


def test_tokens_are_random_and_known_by_their_form() -> None:
    """A token has 256 random bits and a checksum, which one wrong character breaks; the documented pattern finds it."""
    many = {new_access_token() for _ in range(1_000)}
    assert len({one[5:25] for one in many}) == 1_000
    for one in list(many)[:50]:
        assert has_form(one)
        assert re.fullmatch(PATTERN, one)
        for place in range(5, len(one)):
            assert not has_form(one[:place] + ("0" if one[place] != "0" else "1") + one[place + 1 :])
    assert PATTERN in (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("revision", [STATEFUL, STATELESS])
def test_a_revoked_token_works_no_longer_than_five_seconds(target: Site, backlog: Database, revision: str) -> None:
    """After a revocation, calls are refused within 5 s, and an open stream ends within twice that."""
    name = f"revoked-{revision}"
    caller = Caller(target.server.url, revision, bearer(new_token(backlog, name, Role.CODER)))
    stream = caller.open_stream() if revision == STATEFUL else None
    caller.call("feature_get_stats")
    backlog.write_now(lambda tx: revoke_access_token(tx, name))
    revoked = time.monotonic()
    while caller.post("tools/list", {}).status_code != 401:
        assert time.monotonic() - revoked < access_tokens.REMEMBERED_SECONDS + 0.5
        time.sleep(0.1)
    if stream is not None:
        for _ in stream.iter_bytes():
            pass  # until the server ends it
        assert time.monotonic() - revoked < 2 * access_tokens.REMEMBERED_SECONDS + 3
    caller.close()


def test_a_rotated_token_works_as_long_as_its_grace(target: Site, backlog: Database) -> None:
    """After a rotation the new secret works at once, and the old one to the end of its grace."""
    old, new, third = new_token(backlog, "rotated", Role.CODER), new_access_token(), new_access_token()
    backlog.write_now(lambda tx: rotate_access_token(tx, "rotated", digest_of(new), 600))
    assert [target.outcome(one, "feature_get_stats", {}) for one in (old, new)] == ["ok", "ok"]
    backlog.write_now(lambda tx: rotate_access_token(tx, "rotated", digest_of(third), 0))
    deadline = time.monotonic() + access_tokens.REMEMBERED_SECONDS + 1
    while [target.outcome(one, "feature_get_stats", {}) for one in (old, new, third)] != ["401", "401", "ok"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_session_is_its_owners_alone(target: Site, backlog: Database, secret: str) -> None:
    """Another principal's session is answered as one that does not exist, also with the same role or agent."""
    owner = Caller(target.server.url, STATEFUL, bearer(secret))
    for role, agent in ((Role.ALL, "ada"), (Role.ALL, None), (Role.CODER, "ada")):
        name = f"other-{role}-{agent}"
        thief = httpx2.post(
            target.server.url,
            content=CALL,
            headers={
                "content-type": "application/json",
                "accept": "application/json, text/event-stream",
                "mcp-protocol-version": STATEFUL,
                "mcp-session-id": owner.session or "",
                **bearer(new_token(backlog, name, role, agent)),
            },
        )
        assert thief.status_code == 404
    assert owner.call("feature_get_stats")["total"] >= 0
    owner.close()


def http_client() -> httpx2.Client:
    """Return a client that opens as many connections as it is asked to."""
    return httpx2.Client(headers=ACCEPT, timeout=20, limits=httpx2.Limits(max_connections=None))


@pytest.mark.only_on("sqlite", reason="sessions do not depend on the engine")
def test_a_flood_of_sessions_ends_those_of_its_own_token(engine: str, shared_db: str, backlog: Database) -> None:
    """A token with very many sessions ends its own idle ones, and gets no more when half of all are in use by it."""
    flood, other = (bearer(new_token(backlog, name, Role.VIEWER, name)) for name in ("flood", "calm"))
    params = {"protocolVersion": STATEFUL, "capabilities": {}, "clientInfo": CLIENT}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).encode()
    with site(shared_db, "--rate", "100000/minute") as one, http_client() as client:

        def begun(headers: dict[str, str]) -> httpx2.Response:
            headers = {**headers, "content-type": "application/json"}
            return client.post(one.server.url, content=body, headers=headers)

        calm = Caller(one.server.url, STATEFUL, other)
        ids = [begun(flood).headers["mcp-session-id"] for _ in range(MOST_SESSIONS + 10)]
        assert calm.post("ping", {}).status_code == 200
        with ExitStack() as stack:
            for session in ids[-MOST_SESSIONS // 2 :]:
                stream = client.build_request(
                    "GET", one.server.url, headers={**flood, "accept": "text/event-stream", "mcp-session-id": session}
                )
                stack.callback((answer := client.send(stream, stream=True)).close)
                assert answer.status_code == 200
            assert begun(flood).status_code == 503
            assert begun(other).status_code == 200
        calm.close()


def test_a_stream_ends_if_its_token_cannot_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the look-up of a stream's token fails in an unforeseen way, the stream ends, and a whole answer stays whole."""

    class Broken:
        async def verify(self, credential: str, address: str) -> Principal | None:
            raise LookupError(f"{credential} {address}")

    monkeypatch.setattr(http_admission, "REMEMBERED_SECONDS", 0)
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    async def serve() -> None:
        scope = {"headers": [(b"authorization", b"Bearer x")], "client": None}
        with anyio.fail_after(5), anyio.CancelScope() as serving:
            watching = asyncio.create_task(http_admission._watch_token(Authentication(Broken()), scope, serving))
            await anyio.sleep_forever()
        assert isinstance(watching.exception(), LookupError)
        answer = http_admission._Answer(send)  # type: ignore[arg-type]  # the messages are dicts
        await answer.send({"type": "http.response.start", "status": 200})
        await answer.send({"type": "http.response.body", "body": b"x"})
        await answer.end()

    anyio.run(serve)
    assert len(sent) == 2


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"127.0.0.1.evil.example",
        b"localhost@evil.example",
        b"127.0.0.1:x",
        b"[::1].evil",
        b"127.0.0.1:1,evil",
    ],
)
def test_other_hosts_are_refused_before_the_token(target: Site, secret: str, host: bytes) -> None:
    """A foreign Host gets no answer that depends on the token."""
    for line in (b"Authorization: Bearer " + secret.encode(), b"X: y"):
        assert status(raw(target, line, host=host)) in (400, 421)


@pytest.mark.parametrize("origin", [b"null", b"https://evil.example", b"http://localhost.evil.example", b"file://"])
def test_pages_of_other_origins_are_refused(target: Site, secret: str, origin: bytes) -> None:
    """A page cannot use a token that it has come by, since its Origin is refused."""
    assert status(raw(target, b"Authorization: Bearer " + secret.encode(), b"Origin: " + origin)) == 403


def test_forwarded_headers_are_not_believed(target: Site, secret: str) -> None:
    """Without --behind-proxy, no header changes the Host or whose attempts are counted."""
    lines = [
        b"X-Forwarded-Host: evil.example",
        b"X-Forwarded-For: 10.1.1.1",
        b"X-Forwarded-Proto: https",
        b"Forwarded: host=evil",
    ]
    assert status(raw(target, b"Authorization: Bearer " + secret.encode(), *lines)) not in (401, 403, 421)
    assert status(raw(target, *lines, host=b"evil.example")) == 421


def test_floods_of_headers_and_cookies_are_refused(target: Site, secret: str) -> None:
    """Many or long headers are refused by their size, and the server goes on."""
    many = [b"X-%d: %s" % (number, b"x" * 60) for number in range(1_500)]
    assert not answered(target, *many)
    assert not answered(target, b"Cookie: " + b"a=b; " * 16_000)
    assert target.outcome(secret, "feature_get_stats", {}) == "ok"


def test_a_flood_of_unknown_tokens_reaches_the_database_seldom(target: Site, secret: str) -> None:
    """Of many well-formed unknown tokens, few are looked up; a token that is known works during the flood."""
    assert target.outcome(secret, "feature_get_stats", {}) == "ok"
    statuses: list[int] = []
    began = time.monotonic()
    with httpx2.Client() as client:
        for _ in range(200):
            statuses.append(
                client.post(target.server.url, content=CALL, headers=bearer(new_access_token())).status_code
            )
            if len(statuses) % 50 == 0:
                assert target.outcome(secret, "feature_get_stats", {}) == "ok"
    seconds = time.monotonic() - began
    assert set(statuses) <= {401, 429}
    assert statuses.count(401) <= access_tokens.ATTEMPTS_OF_ONE * (seconds + 2)
    assert statuses.count(429) > 0 or seconds > 200 / access_tokens.ATTEMPTS_OF_ONE


def test_malformed_tokens_are_never_looked_up(shared_db: str, secret: str, backlog: Database) -> None:
    """What has not the form of a token is refused without the database, even while that is locked away."""
    with site(shared_db) as one:
        bad = secret[:-1] + ("0" if secret[-1] != "0" else "1")
        statuses = [httpx2.post(one.server.url, content=CALL, headers=bearer(bad)).status_code for _ in range(100)]
        assert set(statuses) == {401}  # more than may be looked up in a second


def test_a_token_that_sends_too_much_is_told_when_to_come_back(shared_db: str, backlog: Database) -> None:
    """Beyond its rate a token gets 429 with Retry-After, and other tokens are served."""
    greedy, other = new_token(backlog, "greedy", Role.VIEWER), new_token(backlog, "other", Role.VIEWER)
    with site(shared_db, "--rate", "20/minute") as one:
        outcomes = [one.outcome(greedy, "feature_get_stats", {}) for _ in range(25)]
        assert (outcomes.count("ok"), outcomes.count("429")) == (20, 5)
        refused = httpx2.post(one.server.url, content=CALL, headers=bearer(greedy))
        assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
        assert one.outcome(other, "feature_get_stats", {}) == "ok"


def test_nothing_secret_or_forged_is_in_the_log(target: Site, backlog: Database, secret: str) -> None:
    """At the level DEBUG the log has no token, of whatever call, and no line that a request has written."""
    forged = "x\n2026-01-01 00:00:00,000 ERROR forged: owned\r\x1b[31m"
    caller = target.caller(secret)
    caller.call("feature_search", text=secret)
    caller.refusal("feature_get_by_id", feature_id=10**9, cursor=secret)
    raw(target, b"Authorization: Bearer " + secret.encode(), path=b"/mcp?access_token=" + secret.encode())
    raw(target, b"Authorization: Bearer " + secret.encode(), path=b"/" + secret.encode())
    raw(target, b"Authorization: Basic " + CANARY.encode())
    raw(target, b"Authorization: Bearer " + secret.encode(), body=b"{" + secret.encode())
    raw(target, b"Authorization: Bearer " + secret.encode(), b"MCP-Session-Id: " + secret.encode())
    raw(target, path=b"/%0a2026-01-01%20ERROR%20forged")
    httpx2.post(target.server.url, json={"jsonrpc": "2.0", "id": 1, "method": forged}, headers=bearer(secret))
    said = target.server.said()
    assert "DEBUG" in said
    assert secret not in said
    assert secret[5:40] not in said
    assert CANARY not in said
    assert not [line for line in said.splitlines() if line.startswith(("2026-01-01", "x"))]
    assert "\x1b" not in said
    events = backlog.read_now(lambda tx: repr([dict(row) for row in tx.all(select(event_table))]))
    assert secret not in events


def test_no_error_shows_what_is_inside(target: Site, secret: str) -> None:
    """Refused requests are answered in words, without paths, tracebacks, versions or the token."""
    bodies = [
        raw(target),
        raw(target, b"Authorization: Bearer " + secret[:-2].encode()),
        raw(target, b"Authorization: Bearer " + secret.encode(), body=b"{"),
        raw(target, b"Authorization: Bearer " + secret.encode(), path=b"/admin"),
        raw(target, b"Authorization: Bearer " + secret.encode(), body=b'{"jsonrpc":"2.0","id":1,"method":"no"}'),
    ]
    for body in bodies:
        for inside in (
            b"Traceback",
            b"site-packages",
            b".py",
            target.db.encode(),
            secret.encode(),
            b"sqlalchemy",
            b"uvicorn",
        ):
            assert inside not in body, body


def test_no_command_line_takes_an_access_token(shared_db: str, secret: str) -> None:
    """Neither `dibs serve` nor `dibs token` has an option for a secret, so that none is in a list of processes."""
    helps = [
        subprocess.run(
            [sys.executable, "-m", "dibs", *words, "--help"], capture_output=True, text=True, check=True
        ).stdout
        for words in (["serve"], ["token", "create"], ["token", "rotate"], ["init"])
    ]
    assert not [one for one in helps if re.search(r"--(access-token|token|secret)[ =]", one)]
    listed = subprocess.run(
        [sys.executable, "-m", "dibs", "token", "list", "--json", "--db", shared_db],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "attacked" in listed
    assert "dibs_" not in listed.replace("dibs_schema", "")
    assert digest_of(secret) not in listed
