"""Texts that are no JSON-RPC messages, with the code and the id of the error that each gets on every transport."""

from __future__ import annotations

MALFORMED: list[tuple[bytes, int, int | str | None]] = [
    (b"not json", -32700, None),
    (b'{"jsonrpc": "2.0", "id": 7, "method"', -32700, None),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "\xff"}', -32700, None),
    (b"\x00", -32700, None),
    (b"[" * 100_000, -32700, None),
    (b"[]", -32600, None),
    (b'[{"jsonrpc": "2.0", "id": 7, "method": "ping"}]', -32600, None),
    (b"42", -32600, None),
    (b"null", -32600, None),
    (b"{}", -32600, None),
    (b'{"jsonrpc": "1.0", "id": 7, "method": "ping"}', -32600, 7),
    (b'{"jsonrpc": "2.0", "id": "seven", "method": 5}', -32600, "seven"),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": [1]}', -32600, 7),
    (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', -32600, None),
    (b'{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}', -32600, None),
    (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', -32600, None),
    (b'{"jsonrpc": "2.0", "id": 7, "result": 5}', -32600, None),
]
