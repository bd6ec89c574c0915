"""Checks the registration of a server over HTTP: calls one of its tools, with the access token of the environment."""

from __future__ import annotations

import os
from typing import Any

from dibs.registration.remote import Remote
from dibs.registration.server_check import ServerInfo, ServerSilent

PATIENCE = 20.0
"""Seconds."""
_REVISION = "2026-07-28"
_META = "io.modelcontextprotocol/"


def check_remote(remote: Remote) -> ServerInfo:
    """Call `feature_get_stats` of the server. Raises ServerSilent with the reason why it does not answer."""
    import httpx2

    token = os.environ.get(remote.variable, "") if remote.variable is not None else ""
    if remote.variable is not None and not token:
        raise ServerSilent(f"{remote.variable} is not set here. Set it to an access token where your client starts.")
    headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": _REVISION}
    headers |= {"mcp-method": "tools/call", "mcp-name": "feature_get_stats"}
    headers |= {"authorization": f"Bearer {token}"} if token else {}
    envelope = {f"{_META}protocolVersion": _REVISION, f"{_META}clientCapabilities": {}}
    envelope[f"{_META}clientInfo"] = {"name": "dibs-init", "version": "1"}
    params = {"name": "feature_get_stats", "arguments": {}, "_meta": envelope}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    proxied = remote.url.startswith("https:")  # a proxy of the environment would see the token of an http URL
    try:
        response = httpx2.post(remote.url, json=call, headers=headers, timeout=PATIENCE, trust_env=proxied)
        answer = _answer(response) if response.status_code == httpx2.codes.OK else None
    except (httpx2.HTTPError, ValueError) as error:
        raise ServerSilent(f"{remote.url}: {error}") from error
    if answer is None or "structuredContent" not in answer.get("result", {}):
        raise ServerSilent(f"{remote.url} answered with status {response.status_code}.")
    stats = answer["result"]["structuredContent"]
    if "error" in stats:
        raise ServerSilent(stats["error"]["message"])
    version = answer["result"].get("_meta", {}).get(f"{_META}serverInfo", {}).get("version", "")
    return ServerInfo(version, stats["project"], stats["database"], stats["total"])


def _answer(response: Any) -> dict[str, Any]:
    """Return the JSON-RPC answer in a response, which is JSON or the last event of a stream. Raises ValueError."""
    import json

    if response.headers.get("content-type", "").startswith("application/json"):
        data = response.json()
    else:
        lines = [line[5:] for line in response.text.splitlines() if line.startswith("data:") and line[5:].strip()]
        data = json.loads(lines[-1] if lines else "null")
    return data if isinstance(data, dict) else {}
