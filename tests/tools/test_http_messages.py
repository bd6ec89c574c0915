"""Messages, hosts and paths over HTTP: messages are answered as over stdio, and no foreign host is believed."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing

import httpx2
import pytest

from listening import ACCEPT, STATEFUL, STATELESS, Caller, Listening, content, listening, read
from malformed import MALFORMED

ERAS = pytest.mark.parametrize("revision", [STATEFUL, STATELESS])


@pytest.fixture(scope="module")
def server(new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[Listening]:
    """One server over HTTP for the tests of this module."""
    with new_db() as db, listening(db) as one:
        yield one
        assert "Traceback" not in one.said()


def posted(caller: Caller, body: bytes) -> httpx2.Response:
    """Post bytes in place of a message."""
    request = caller.request("ping", {})
    headers = [(name, value) for name, value in request.headers.items() if name != "content-length"]
    return caller._http.send(httpx2.Request("POST", request.url, headers=headers, content=body))


@ERAS
def test_each_malformed_message_gets_its_error_and_the_server_goes_on(server: Listening, revision: str) -> None:
    """The error is the one that the same text gets over stdio, with the status 400."""
    with closing(Caller(server.url, revision)) as caller:
        for text, code, request_id in MALFORMED:
            response = posted(caller, text)
            answer = response.json()
            found = (response.status_code, answer["error"]["code"], answer["id"])
            assert found == (400, code, request_id), text[:100]
        assert caller.call("feature_get_stats")["total"] >= 0


@ERAS
@pytest.mark.parametrize("request_id", [0, -1, 2**53, "", "ü", "1"])
def test_each_valid_id_comes_back(server: Listening, revision: str, request_id: object) -> None:
    """Strings and integers are ids, and come back as they are."""
    with closing(Caller(server.url, revision)) as caller:
        request = json.loads(caller.request("tools/list", {}).content) | {"id": request_id}
        sent = caller.request("tools/list", {})
        headers = {name: value for name, value in sent.headers.items() if name != "content-length"}
        answer = read(caller._http.post(server.url, json=request, headers=headers))
        assert answer["id"] == request_id
        assert "tools" in answer["result"]


@ERAS
@pytest.mark.parametrize("half", ["\\ud800", "\\uDFFF", "\\ud83d"])
def test_half_a_letter_is_left_out(server: Listening, revision: str, half: str) -> None:
    """A lone surrogate, as JavaScript writes for half an emoji, is removed, and the rest of the text stays."""
    with closing(Caller(server.url, revision)) as caller:
        new = {"category": "c", "name": f"cut HALF off {half[1:]} {revision}", "description": "\\u00fc", "steps": ["s"]}
        request = caller.request("tools/call", {"name": "feature_create", "arguments": new})
        answer = read(posted_like(caller, request, request.content.replace(b"HALF", half.encode())))
        (number,) = content(answer)["ids"]
        assert caller.call("feature_get_by_id", feature_id=number)["name"].startswith("cut ")


def posted_like(caller: Caller, request: httpx2.Request, body: bytes) -> httpx2.Response:
    """Post a request with another body."""
    headers = [(name, value) for name, value in request.headers.items() if name != "content-length"]
    return caller._http.send(httpx2.Request("POST", request.url, headers=headers, content=body))


FOREIGN = ["127.0.0.1:1.evil.com", "localhost:80@evil.com", "localhost.evil.com", "evil.com", "[::1]:1.evil.com", "::1"]
FOREIGN += ["localhost:", "127.0.0.1:99999999", "127.0.0.2:80", "", "localhost:1\tx"]


def test_a_foreign_host_is_refused_on_every_path(server: Listening) -> None:
    """A Host other than a loopback address with a port gets 421, also if it begins like one, and no redirect."""
    for host in FOREIGN:
        for path in ("/mcp", "/mcp/", "/", "/other"):
            url = server.url.replace("/mcp", path)
            response = httpx2.post(url, headers={**ACCEPT, "host": host}, json={}, follow_redirects=False)
            assert response.status_code in (400, 421), (host, response.text)  # 400 for what is no header in HTTP
            assert "location" not in response.headers


def test_a_foreign_origin_is_refused(server: Listening) -> None:
    """An Origin other than a loopback address gets 403."""
    for origin in (*(f"http://{host}" for host in FOREIGN if host), "null", "file://", "http://localhost/x"):
        response = httpx2.post(server.url, headers={**ACCEPT, "origin": origin}, json={})
        assert response.status_code in (400, 403), (origin, response.text)


@ERAS
def test_a_path_with_a_slash_at_its_end_is_the_same(server: Listening, revision: str) -> None:
    """It is served without a redirect."""
    with closing(Caller(server.url + "/", revision)) as caller:
        assert "total" in caller.call("feature_get_stats")


@ERAS
def test_a_message_that_ends_early_changes_nothing(server: Listening, revision: str) -> None:
    """If the client leaves before the end of a body, what came of it is not served, even if it is a whole message."""
    with closing(Caller(server.url, revision)) as caller:
        before = caller.call("feature_get_stats")["total"]
        new = {"category": "c", "name": f"early {revision}", "description": "d", "steps": ["s"]}
        request = caller.request("tools/call", {"name": "feature_create", "arguments": new})
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items() if name != "content-length")
        with socket.create_connection((request.url.host, request.url.port or 0)) as one:
            length = len(request.content) + 1
            one.sendall(f"POST /mcp HTTP/1.1\r\n{head}content-length: {length}\r\n\r\n".encode() + request.content)
        time.sleep(1)
        assert caller.call("feature_get_stats")["total"] == before
