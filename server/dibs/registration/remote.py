"""The entry of a server over HTTP: its URL, and the environment variable that holds each client's access token."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from dibs_schema.refusals import InvalidInput

PATH = "/mcp"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
KEYS = frozenset(
    {"type", "command", "args", "env", "environment", "url", "httpUrl", "headers", "bearer_token_env_var", "oauth"}
)
"""The keys of an entry that say how a server is reached, in every client and by every transport."""
_VARIABLE = re.compile(r"Bearer (?:\$\{(?:env:)?(\w+)\}|\{env:(\w+)\})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Remote:
    """A server over HTTP, and the variable with the access token; None for one on this machine that asks for none."""

    url: str
    variable: str | None

    @classmethod
    def at(cls, url: str, variable: str | None, usual: str) -> Remote:
        """Return the server at a URL. Raises InvalidInput for one to which a token must not be sent.

        The variable is the `usual` one if none is named, but on this machine a server without tokens is assumed.
        """
        parts = _parts(url)
        is_local = parts is not None and parts.hostname in LOOPBACK
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or _has_more(parts):
            words = "send the server's URL, as https://dibs.example.com/mcp, and no secret."
            raise InvalidInput(f"--url: {words}", field="--url")
        if parts.scheme == "http" and not is_local:
            raise InvalidInput(
                "--url: send https://, since nothing encrypts an access token over http://.", field="--url"
            )
        if variable is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", variable, re.ASCII):
            raise InvalidInput(
                "--token-env: send the name of a variable, and not the access token.", field="--token-env"
            )
        path = parts.path if parts.path.strip("/") else PATH
        return cls(f"{parts.scheme}://{parts.netloc}{path}", variable or (None if is_local else usual))

    @classmethod
    def of(cls, entry: object) -> Remote | None:
        """Return the server of an entry as `dibs init` writes it, or None."""
        if not isinstance(entry, dict):
            return None
        url = entry.get("url", entry.get("httpUrl"))
        parts = _parts(url) if isinstance(url, str) else None
        if parts is None or _has_more(parts) or not parts.path.rstrip("/").endswith(PATH):
            return None
        variable = entry.get("bearer_token_env_var")
        headers = entry.get("headers", {})
        if isinstance(headers, dict) and isinstance(text := headers.get("Authorization"), str):
            found = _VARIABLE.fullmatch(text)
            if found is None:
                return None  # another server's, or a token that somebody wrote into the file
            variable = found[1] or found[2]
        if not isinstance(variable, str):
            return cls(str(url), None) if parts.hostname in LOOPBACK else None
        return cls(str(url), variable)


def _has_more(parts: SplitResult) -> bool:
    return bool("@" in parts.netloc or parts.query or parts.fragment)


def _parts(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


def entry_with_headers(
    form: str, key: str = "url", more: Mapping[str, Any] | None = None
) -> Callable[[Remote], dict[str, Any]]:
    """Return a function that writes an entry whose header refers to the variable in a client's `form`, as `${{{}}}`."""

    def entry(remote: Remote) -> dict[str, Any]:
        header = (
            {} if remote.variable is None else {"headers": {"Authorization": f"Bearer {form.format(remote.variable)}"}}
        )
        return {**(more or {}), key: remote.url, **header}

    return entry


def codex_entry(remote: Remote) -> dict[str, Any]:
    """Return Codex's entry. It is required, so that a turn begins when the server has answered."""
    token = {} if remote.variable is None else {"bearer_token_env_var": remote.variable}
    return {"url": remote.url, **token, "required": True}
