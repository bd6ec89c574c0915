"""Invalid JSON-RPC lines, and valid but meaningless lines, each with its expected answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from fuzzing.arguments import ODD, junk


@dataclass(frozen=True, slots=True)
class Line:
    """Bytes without a newline, and the ids under one of which exactly one answer must come; without ids, no answer."""

    data: bytes
    answered: tuple[Any, ...] = (None,)


IDS = st.one_of(st.integers(-3, 5), st.sampled_from(["", "a", "7", "ü" * 50, "x" * 5_000, 2**53 - 1]))
"""Few ids, so that many are used twice, also at the same time."""
METHODS = [
    "ping",
    "initialize",
    "tools/list",
    "tools/call",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
    "server/discover",
    "tasks/get",
    "roots/list",
    "sampling/createMessage",
    "notifications/initialized",
    "rpc.discover",
    "__init__",
    "",
    "tools/call\x00",
]
TOLD = ["progress", "roots/list_changed", "initialized", "cancelled", "message", "nothing", ""]
VERSIONS: list[Any] = ["1.0", "2", 2.0, 2, None, "2.0 ", "", [], True]
NO_IDS: list[Any] = [None, 1.5, True, {}, [], [1]]
RESPONSES: list[dict[str, Any]] = [
    {"result": {}},
    {"result": {"a": [1]}},
    {"error": {"code": 1, "message": "no"}},
]
NO_RESPONSES: list[dict[str, Any]] = [
    {"result": 5},
    {"error": "no"},
    {"error": {"code": "x"}},
    {"result": []},
]
NO_MESSAGES = [b"{}", b"null", b"1e999", b"NaN", b'"x"', b"{} {}", b"[]x", b"{'a': 1}", b"//", b"\x1b[A"]
BLANK = [b"", b" \t\r", b"\x0b\x0c"]
DEPTHS = [150, 199, 200, 201, 500, 990, 1_100, 20_000, 200_000]


def _request(request_id: Any, method: str, params: Any, **more: Any) -> dict[str, Any]:
    """Return a request, without params if `params` is the string "none"."""
    message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params, **more}
    if params == "none":
        del message["params"]
    return message


def _line(message: Any, *answered: Any) -> Line:
    return Line(json.dumps(message).encode(), answered)


_usual = st.builds(_request, IDS, st.sampled_from(METHODS), st.sampled_from(["none", {}, {"name": "x"}]))
_bytes = _usual.map(lambda message: json.dumps(message, ensure_ascii=False).encode())


def _raw(data: bytes) -> Line:
    """Draw bytes that are certainly no message."""
    data = data.replace(b"\n", b"")
    return Line(data, (None,) if data.strip() else ())


@st.composite
def _cut(draw: st.DrawFn) -> Line:
    whole = draw(_bytes)
    return _raw(whole[: draw(st.integers(0, len(whole) - 1))])


@st.composite
def _broken(draw: st.DrawFn) -> Line:
    """Draw a message with bytes in its middle that are invalid in UTF-8 or in JSON."""
    whole = draw(_bytes)
    place = whole.index(b'"method": "') + 11
    wrong = draw(
        st.sampled_from([b"\xff", b"\xc3", b"\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf", b"\t", b"\x00", b'"'])
    )
    return _raw(whole[:place] + wrong + whole[place:])


@st.composite
def _deep(draw: st.DrawFn) -> Line:
    depth, key = draw(st.sampled_from(DEPTHS)), draw(st.booleans())
    opening, closing = ('{"a":' * depth, "}" * depth) if key else ("[" * depth, "]" * depth)
    text = f'{{"jsonrpc": "2.0", "id": "deep", "method": "ping", "params": {{"a": {opening}1{closing}}}}}'
    return Line(text.encode(), ("deep", None))


@st.composite
def _marked(draw: st.DrawFn) -> Line:
    """Draw a message in another encoding, or after a byte order mark; a tolerant reader may understand it."""
    text = json.dumps(_request("marked", "ping", {}))
    coding = draw(st.sampled_from(["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]))
    return Line(text.encode(coding), ("marked", None))


@st.composite
def _huge(draw: st.DrawFn) -> Line:
    size = draw(st.sampled_from([70_000, 300_000, 1_000_000]))
    match draw(st.sampled_from(["text", "id", "digits", "open", "garbage"])):
        case "text":
            return _line(_request("huge", "tools/call", {"name": "x" * size, "arguments": {}}), "huge")
        case "id":
            return _line(_request("x" * size, "ping", {}), "x" * size)
        case "digits":
            return Line(b'{"jsonrpc": "2.0", "id": ' + b"7" * size + b', "method": "ping"}')
        case "open":
            return Line(b"[" * size)
        case _:
            return Line(b"\xfe" * size)


_PARAMS = st.dictionaries(st.sampled_from(["name", "arguments", "uri", "_meta", "cursor"]), junk, max_size=4)
_TOLD_PARAMS: SearchStrategy[Any] = st.dictionaries(
    st.sampled_from(["requestId", "progressToken", "reason"]),
    st.sampled_from([{}, [], None, 1.5, "no such", 10**30]),
    max_size=2,
)
_CALLS = st.fixed_dictionaries({"name": st.sampled_from(["feature_get_stats", *ODD]), "arguments": junk})
_NO_PARAMS: SearchStrategy[Any] = st.sampled_from([[1], 5, "x", [], True])


def _response(request_id: Any, said: dict[str, Any], *answered: Any) -> Line:
    return _line({"jsonrpc": "2.0", "id": request_id, **said}, *answered)


def _told(method: str, params: Any) -> Line:
    return _line({"jsonrpc": "2.0", "method": f"notifications/{method}", "params": params})


_ANY: list[SearchStrategy[Line]] = [
    _cut(),
    _broken(),
    _deep(),
    _marked(),
    st.binary(max_size=80).map(_raw),
    st.sampled_from(NO_MESSAGES).map(_raw),
    st.sampled_from(BLANK).map(_raw),
    _usual.map(lambda message: _line(message, message["id"])),
    st.builds(lambda m, v: _line(m | {"jsonrpc": v}, m["id"]), _usual, st.sampled_from(VERSIONS)),
    st.builds(lambda m, wrong: _line(m | {"id": wrong}, None), _usual, st.sampled_from(NO_IDS)),
    st.lists(_usual, max_size=3).map(lambda batch: _line(batch, None)),
    st.builds(lambda i, m, p: _line(_request(i, m, p), i), IDS, st.sampled_from(METHODS), _PARAMS),
    st.builds(lambda i, p: _line(_request(i, "tools/call", p), i), IDS, _CALLS),
    st.builds(lambda i, p: _line(_request(i, "ping", p), i), IDS, _NO_PARAMS),
    st.builds(_told, st.sampled_from(TOLD), _TOLD_PARAMS),
    st.builds(_response, IDS, st.sampled_from(RESPONSES)),
    st.builds(_response, IDS, st.sampled_from(NO_RESPONSES), st.none()),
]
"""All kinds of lines, which are equally frequent."""


@st.composite
def lines(draw: st.DrawFn) -> Line:
    """Draw a line of any kind. Huge lines are rare, because they are slow."""
    return draw(_huge() if draw(st.integers(0, 60)) == 31 else st.one_of(_ANY))
