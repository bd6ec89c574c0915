"""Who may use the board: the browser that came last with a fresh key, from the board's own pages.

Agents write the texts on the pages, and any web page may send requests to this machine. So every answer has a policy that
forbids foreign code, the Host must be this machine (against DNS rebinding), a cookie proves the browser, and a POST must
come from a page of the board.
"""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from dibs.board.known_browser import LONGEST
from dibs.board.page import templates

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from dibs.board.known_browser import KnownBrowser

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# With the referrer policy `no-referrer`, browsers would send `Origin: null` with forms.
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
HOSTS = ("127.0.0.1", "localhost", "[::1]")
LONGEST_FORM = 4 << 20
"""Bytes."""
AGAIN = "Use the browser where you opened the board, or end `dibs board` and run it again for a new address."


class Access:
    """Lets requests of one browser through to `app`, and refuses all others with the reason.

    `key` is exchanged once for the cookie, by the address that `dibs board` prints. `port` is the server's; browsers
    send a cookie to every port of a host, so its name has the port. `browser` may come in without the key.
    """

    def __init__(self, app: ASGIApp, port: int, browser: KnownBrowser) -> None:
        self.key = secrets.token_urlsafe(24)
        self._app = app
        self._hosts = frozenset(f"{host}:{port}" for host in HOSTS)
        self._cookie = f"dibs-board-{port}"
        self._browser = browser
        self._is_exchanged = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        answer = self._refuse_host(request) or self._refuse_form(request) or self._admit(request) or self._app
        await answer(scope, receive, _with_headers(send))

    def _refuse_host(self, request: Request) -> Response | None:
        """Refuse a request that names another host."""
        if request.headers.get("host") in self._hosts:
            return None
        return refusal("This is not the board's host.", f"Open it by one of: {', '.join(sorted(self._hosts))}.")

    def _refuse_form(self, request: Request) -> Response | None:
        """Refuse a form that comes from another site or is too large."""
        if request.method != "POST":
            return None
        if not self._is_own(request.headers):
            return refusal("This form was not sent from a page of the board.", "Nothing was changed.")
        if not 0 <= _length(request.headers) <= LONGEST_FORM:
            return refusal("This form is too large.", f"A form has at most {LONGEST_FORM >> 20} MiB.", 413)
        return None

    def _admit(self, request: Request) -> Response | None:
        """Exchange the key for the cookie, or refuse a request without the cookie."""
        given = request.cookies.get(self._cookie)
        if given is not None and self._browser.has(given):
            return None
        key = request.query_params.get("key")
        if key is None:
            return refusal("The board is closed to this browser.", AGAIN)
        if not secrets.compare_digest(key.encode(), self.key.encode()):
            return refusal("This key is not the board's.", AGAIN)
        if self._is_exchanged:
            return refusal("This key has been used.", AGAIN)
        self._is_exchanged = True
        # A cookie that is SameSite=Strict does not follow a redirect from another site, as a terminal in a browser.
        answer = HTMLResponse(templates().get_template("enter.html").render())
        answer.set_cookie(
            self._cookie, self._browser.admit(), path="/", max_age=int(LONGEST), httponly=True, samesite="strict"
        )
        return answer

    def _is_own(self, headers: Headers) -> bool:
        """Return whether a page of the board sent the request. Browsers send Origin with every POST."""
        return (
            headers.get("origin") == f"http://{headers['host']}"
            and headers.get("sec-fetch-site", "same-origin") == "same-origin"
        )


def _length(headers: Headers) -> int:
    """Return the declared length of a request's body in bytes, else -1. Browsers declare it for every form."""
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() else -1


def refusal(heading: str, text: str, status: int = HTTPStatus.FORBIDDEN) -> Response:
    """Return a page that explains a refused request."""
    return HTMLResponse(templates().get_template("refusal.html").render(heading=heading, text=text), status)


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return send_with_headers
