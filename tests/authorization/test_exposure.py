"""Where a server is reached: TLS, proxies, names, and what is refused at its start."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
import trustme

from authorization.site import bearer, new_token, opened
from authorization.test_attacks import CALL
from dibs.http.addresses import parsed
from dibs.http.connections import RESERVED_FILES
from dibs.http.exposure import expose
from dibs_schema.refusals import InvalidInput
from dibs_schema.roles import Role
from listening import listening

pytestmark = pytest.mark.only_on("sqlite", reason="nothing here depends on the engine")


SELF = "the certificate and key of this test"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The certificate of a new authority, and the options of a server with a certificate of its."""
    folder = tmp_path_factory.mktemp("authority")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = ca.issue_cert("127.0.0.1", "localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return folder / "ca.pem", ["--tls-cert", str(folder / "server.pem"), "--tls-key", str(folder / "server.pem")]


def test_a_server_speaks_tls(engine: str, db: str, authority: tuple[Path, list[str]], tmp_path: Path) -> None:
    """Over HTTPS a token's client is served, plain HTTP is not, and `dibs init --url` says that the server answers."""
    ca, flags = authority
    with opened(db) as database:
        secret = new_token(database, "ada", Role.ALL, "ada")
    with listening(db, *flags) as server:
        assert server.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(ca))
        with httpx2.Client(verify=context) as client:
            assert client.post(server.url, content=CALL).status_code == 401
            assert client.post(server.url, content=CALL, headers=bearer(secret)).status_code == 400  # no envelope
        with pytest.raises(httpx2.TransportError):
            httpx2.post(server.url.replace("https:", "http:"), content=CALL)
        done = subprocess.run(
            [sys.executable, "-m", "dibs", "init", "claude", "--url", server.url, "--token-env", "TEAM", "--yes"],
            cwd=tmp_path,
            env={**os.environ, "TEAM": secret, "SSL_CERT_FILE": str(ca)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, "the server answers" in done.stdout) == (0, True), done.stderr
        assert secret not in (tmp_path / ".mcp.json").read_text(encoding="utf-8")
        assert (
            json.loads((tmp_path / ".mcp.json").read_text(encoding="utf-8"))["mcpServers"]["features"]["type"] == "http"
        )


def test_unfinished_handshakes_keep_nobody_out(engine: str, db: str, authority: tuple[Path, list[str]]) -> None:
    """Many more connections that never begin TLS than there may be: a client is served meanwhile, and the server lives."""
    ca, flags = authority
    with listening(db, *flags, files=(160, 160)) as server, ExitStack() as stack:
        place = urlsplit(server.url)
        context = ssl.create_default_context(cafile=str(ca))
        for _ in range(150):
            stack.enter_context(closing(socket.create_connection((place.hostname, place.port), 10)))
        began = time.monotonic()
        with httpx2.Client(verify=context) as client:
            assert client.get(server.url.replace("/mcp", "/nothing")).status_code == 404
        assert time.monotonic() - began < 5
        assert server.process.poll() is None


def test_idle_and_busy_connections_keep_nobody_out(engine: str, db: str, authority: tuple[Path, list[str]]) -> None:
    """With all places taken over TLS, an idle connection makes room for a new one, and all in use are answered by 503."""
    ca, flags = authority
    files = 160
    places = files - RESERVED_FILES
    with listening(db, *flags, files=(files, files)) as server, ExitStack() as stack:
        place = urlsplit(server.url)
        context = ssl.create_default_context(cafile=str(ca))

        def connected() -> ssl.SSLSocket:
            plain = socket.create_connection((place.hostname, place.port), 10)
            return stack.enter_context(closing(context.wrap_socket(plain, server_hostname="127.0.0.1")))

        for _ in range(places):
            connected()
        head = b"POST /mcp HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\n" % place.netloc.encode()
        for _ in range(places):  # each takes the place of an idle one, and is in use from then on
            connected().sendall(head)
        with httpx2.Client(verify=context) as client:
            assert client.get(server.url).status_code == 503


def test_a_proxy_is_the_only_way_in(engine: str, db: str) -> None:
    """Behind a proxy its address alone is served, by the public name, and a page of the public origin is accepted."""
    with opened(db) as database:
        secret = new_token(database, "ada", Role.ALL, "ada")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    public = ["--http", str(port), "--public-url", "https://dibs.example.com"]
    url = f"http://127.0.0.1:{port}/mcp"
    named = {"host": "dibs.example.com", "origin": "https://dibs.example.com", **bearer(secret)}
    with listening(db, *public, "--behind-proxy", "127.0.0.1") as server:
        assert server.url == "https://dibs.example.com/mcp"
        forwarded = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}
        assert httpx2.post(url, content=CALL, headers=named | forwarded).status_code == 400  # no envelope
        assert httpx2.post(url, content=CALL, headers={"host": "evil.example", **bearer(secret)}).status_code == 421
        assert httpx2.post(url, content=CALL, headers={"host": "dibs.example.com"}).status_code == 401
    with listening(db, *public, "--behind-proxy", "10.9.9.9"):
        past = httpx2.post(url, content=CALL, headers=named)
        assert (past.status_code, "through its proxy" in past.text) == (403, True)


def test_a_proxy_that_comes_by_ipv4_is_known_on_an_ipv6_socket(engine: str, db: str) -> None:
    """A server that listens on [::] serves the named proxy, and believes its headers, though it sees ::ffff:127.0.0.1."""
    with opened(db) as database:
        secret = new_token(database, "ada", Role.ALL, "ada")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    public = ["--http", f"[::]:{port}", "--public-url", "https://dibs.example.com", "--behind-proxy", "127.0.0.1"]
    headers = {"host": "dibs.example.com", **bearer(secret)}
    with listening(db, *public):
        assert httpx2.post(f"http://127.0.0.1:{port}/mcp", content=CALL, headers=headers).status_code == 400
    assert parsed("::ffff:10.0.0.7") == parsed("10.0.0.7")


@pytest.mark.parametrize(
    ("host", "origin", "accepted"),
    [
        ("dibs.example.com", None, True),
        ("dibs.example.com:443", "https://dibs.example.com", True),
        ("DIBS.example.com", "https://dibs.example.com", True),
        ("127.0.0.1:3427", None, True),
        ("dibs.example.com:80", None, False),
        ("xdibs.example.com", None, False),
        ("dibs-example.com", None, False),
        ("dibs.example.com.evil.example", None, False),
        ("dibs.example.com", "http://dibs.example.com", False),
        ("dibs.example.com", "https://evil.example", False),
        ("dibs.example.com", "null", False),
    ],
)
def test_names_follow_from_the_public_url(host: str, origin: str | None, accepted: bool) -> None:
    """The public name is accepted with its scheme's port or without, and nothing that only resembles it."""
    from dibs.http.authentication import Denied

    exposure = expose(("0.0.0.0", 1), behind_proxy="10.0.0.0/8", public_url="https://dibs.example.com")
    if accepted:
        exposure.check_names(host, origin)
        return
    with pytest.raises(Denied):
        exposure.check_names(host, origin)


@pytest.mark.parametrize(
    "options",
    [
        {"address": ("0.0.0.0", 1)},
        {"address": ("10.0.0.1", 1), "public_url": "https://a.example"},
        {"address": ("0.0.0.0", 1), "behind_proxy": "10.0.0.1"},
        {"address": ("127.0.0.1", 1), "behind_proxy": "10.0.0.1"},
        {"address": ("127.0.0.1", 1), "public_url": "https://a.example"},
        {"address": ("0.0.0.0", 1), "behind_proxy": "0.0.0.0/0", "public_url": "https://a.example"},
        {"address": ("0.0.0.0", 1), "behind_proxy": "proxy", "public_url": "https://a.example"},
        {"address": ("0.0.0.0", 1), "behind_proxy": "10.0.0.1", "public_url": "http://a.example"},
        {"address": ("0.0.0.0", 1), "behind_proxy": "10.0.0.1", "public_url": "a.example"},
        {"address": ("127.0.0.1", 1), "behind_proxy": "127.0.0.1", "public_url": "https://[x"},
        {"address": ("127.0.0.1", 1), "behind_proxy": "127.0.0.1", "public_url": "https://a.example/team/dibs"},
        {"address": ("127.0.0.1", 1), "behind_proxy": "127.0.0.1", "public_url": "https://:x@a.example"},
        *({"address": (host, 1), "tls_cert": SELF, "tls_key": SELF} for host in ("", "0", "0x0", "::0", "0.0.0.0")),
        {"address": ("127.0.0.1", 1), "tls_cert": "cert.pem"},
        {"address": ("127.0.0.1", 1), "tls_cert": "none.pem", "tls_key": "none.pem"},
    ],
)
def test_what_would_be_unsafe_does_not_start(
    options: dict[str, object], authority: tuple[Path, list[str]], engine: str
) -> None:
    """Every way to be reached without encryption, a known name or a named proxy is refused."""
    address = options.pop("address")
    options = {name: authority[1][1] if value == SELF else value for name, value in options.items()}
    with pytest.raises(InvalidInput) as refused:
        expose(address, **options)  # type: ignore[arg-type]  # each case has its own options
    assert refused.value.details["field"].startswith("--")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--behind-proxy", "--public-url", "https://a.example"], "dibs token create NAME --role coder"),
        (["--tokens"], "dibs token create NAME --role coder"),
        (["--behind-proxy", "--public-url", "https://a.example", "--no-tokens"], "each needs a token"),
        (["--behind-proxy", "--public-url", "https://a.example", "--board"], "this machine alone"),
        (["--rate", "often"], "6000/minute"),
        (["TLS", "--public-url", "https://a.example"], "there are none"),
        (["TLS", "--public-url", "https://a.example", "--no-tokens"], "each needs a token"),
        (["ended"], "all have ended"),
    ],
)
def test_no_server_is_public_without_tokens(
    engine: str, db: str, authority: tuple[Path, list[str]], flags: list[str], words: str
) -> None:
    """A server that other machines reach, or that had tokens, does not start without one, and says what to type."""
    if flags[0] in ("--rate", "ended"):
        with opened(db) as database:
            new_token(database, "ada", Role.ALL, lifetime=-1 if flags[0] == "ended" else None)
    options = {"TLS": [*authority[1], *flags[1:]], "ended": []}.get(flags[0], flags)
    done = subprocess.run(
        [sys.executable, "-m", "dibs", "serve", "--db", db, "--http", "0", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_ended_tokens_open_nothing_by_themselves(engine: str, db: str) -> None:
    """With ended tokens alone, --no-tokens is needed to ask nobody."""
    with opened(db) as database:
        new_token(database, "ada", Role.ALL, lifetime=-1)
    with listening(db, "--no-tokens") as server:
        assert httpx2.post(server.url, content=CALL).status_code == 400  # no envelope
