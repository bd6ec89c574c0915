"""Where a server over HTTP can be reached: its address, its names, its TLS, and the proxies before it.

Beyond this machine it needs access tokens, and either its own TLS or a proxy's.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from dibs.http.addresses import client_of, is_any
from dibs.http.authentication import Denied
from dibs.http.listener import LOOPBACK
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_LOCAL = r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?"
_STANDARD_PORTS: Final = {"https": 443, "http": 80}
_PATHS = ("", "/mcp")
HOW = "dibs serve --http {address} --tls-cert CERTIFICATE --tls-key KEY --public-url https://NAME"
HOW_BEHIND_PROXY = "dibs serve --http {address} --behind-proxy ADDRESS_OF_PROXY --public-url https://NAME"


@dataclass(frozen=True, slots=True)
class Exposure:
    """Where a server can be reached.

    `is_public` says that other machines reach it, by itself or through a proxy. `public` is the scheme and the network
    location of its public URL. `proxies` are the networks whose forwarded headers are believed, and from which alone
    requests come; None without a proxy.
    """

    host: str
    port: int
    is_public: bool
    tls: ssl.SSLContext | None = None
    public: tuple[str, str] | None = None
    proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] | None = None

    def check_names(self, host: str, origin: str | None) -> None:
        """Raise Denied for a request to another Host, or from a page of another Origin."""
        if not self._host.fullmatch(host):
            raise Denied(HTTPStatus.MISDIRECTED_REQUEST, f"Host must be {self._names}, with the port.", {})
        if origin is not None and not self._origin.fullmatch(origin):
            words = f"Origin must be of {self._names}: other pages are refused."
            raise Denied(HTTPStatus.FORBIDDEN, words, {})

    @property
    def _names(self) -> str:
        local = "127.0.0.1, localhost or [::1]"
        return local if self.public is None else self.public[1]

    @property
    def _host(self) -> re.Pattern[str]:
        return re.compile(rf"(?:{self._public_host()}|{_LOCAL})", re.ASCII | re.IGNORECASE)

    @property
    def _origin(self) -> re.Pattern[str]:
        scheme = self.public[0] if self.public is not None else "-"
        return re.compile(rf"(?:{scheme}://{self._public_host()}|https?://{_LOCAL})", re.ASCII | re.IGNORECASE)

    def _public_host(self) -> str:
        """Return the pattern of the public name: its port may be left out if it is the scheme's own."""
        if self.public is None:
            return "(?!)"
        scheme, name = self.public
        bare, _, port = name.rpartition(":") if re.search(r":[0-9]+$", name) else (name, "", "")
        standard = _STANDARD_PORTS[scheme]
        if port and int(port) != standard:
            return re.escape(name)
        return rf"{re.escape(bare)}(?::{standard})?"

    def before(self, app: ASGIApp) -> ASGIApp:
        """Wrap the application for its proxy. Without a proxy it is unchanged, and no forwarded header is believed."""
        if self.proxies is None:
            return app
        believed = ProxyHeadersMiddleware(app, [str(one) for one in self.proxies])  # type: ignore[arg-type]  # uvicorn's types
        return _FromProxy(believed, self.proxies)  # type: ignore[arg-type]  # likewise


class _FromProxy:
    """Closes connections that bypass the proxy: nothing encrypts them."""

    def __init__(self, app: ASGIApp, proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that comes from a proxy; refuse any other address."""
        from starlette.responses import PlainTextResponse

        address = client_of(scope)
        if address is None or not any(address in one for one in self._proxies):
            words = "This server is reached through its proxy alone."
            await PlainTextResponse(words, HTTPStatus.FORBIDDEN)(scope, receive, send)
            return
        await self._app({**scope, "client": (str(address), scope["client"][1])}, receive, send)


def expose(
    address: tuple[str, int],
    *,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    behind_proxy: str | None = None,
    public_url: str | None = None,
) -> Exposure:
    """Return how a server that listens at an address is reached. Raises InvalidInput, with the line to type."""
    host, port = address
    if (tls_cert is None) != (tls_key is None):
        raise InvalidInput("--tls-cert and --tls-key go together: name both files.", field="--tls-key")
    is_local = host in LOOPBACK
    where = {"address": f"[{host}]:{port}" if ":" in host else f"{host}:{port}"}
    if not is_local and tls_cert is None and behind_proxy is None:
        raise InvalidInput(
            f"--http: {host} is reached from other machines, and nothing encrypts what they send. Type "
            f"`{HOW.format_map(where)}`, or `{HOW_BEHIND_PROXY.format_map(where)}` if a proxy encrypts it.",
            field="--http",
        )
    if public_url is None and (behind_proxy is not None or is_any(host)):
        how = HOW if behind_proxy is None else HOW_BEHIND_PROXY
        raise InvalidInput(
            f"--public-url: clients reach this server by a name that only you know. Type `{how.format_map(where)}`.",
            field="--public-url",
        )
    if public_url is not None and tls_cert is None and behind_proxy is None:
        raise InvalidInput(
            f"--public-url: nothing encrypts what other machines send. Type `{HOW_BEHIND_PROXY.format_map(where)}` if a "
            "proxy does, or name --tls-cert and --tls-key.",
            field="--public-url",
        )
    is_public = not is_local or behind_proxy is not None or public_url is not None
    public = _public(public_url) if public_url is not None else None
    if public is None and not is_local:
        public = ("https", where["address"])
    return Exposure(
        host,
        port,
        is_public,
        None if tls_cert is None or tls_key is None else _context(tls_cert, tls_key),
        public,
        _networks(behind_proxy) if behind_proxy is not None else None,
    )


def _public(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme == "https" and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_valid = False
    if not is_valid or "@" in parts.netloc or parts.query or parts.fragment or parts.path.rstrip("/") not in _PATHS:
        raise InvalidInput(
            f"--public-url={url!r}: send the URL that clients use, as https://dibs.example.com. Its path is /mcp.",
            field="--public-url",
        )
    return parts.scheme, parts.netloc.lower()


def _networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    try:
        found = tuple(ipaddress.ip_network(one.strip()) for one in text.split(","))
    except ValueError:
        found = ()
    if not found or any(one.prefixlen == 0 for one in found):
        raise InvalidInput(
            f"--behind-proxy={text!r}: name the proxy's addresses or networks, as 10.0.0.7,10.1.0.0/24.",
            field="--behind-proxy",
        )
    return found


def _context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = (error.strerror if isinstance(error, OSError) else None) or "they are no certificate and key in PEM"
        raise InvalidInput(f"--tls-cert={certificate}, --tls-key={key}: {why}.", field="--tls-cert") from None
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted: name one that is not")
