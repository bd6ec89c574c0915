"""A client of each revision of the protocol completes a claim, over real stdio and line by line."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from dibs_proof.raw_client import Message
from races.servers import ServerClient, command_on

PAGE = Path(__file__).parent.parent.parent / "docs" / "internals" / "conformance.md"
STATEFUL = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STATELESS = "2026-07-28"
CLIENT = {"name": "by-hand", "version": "1"}
META = "io.modelcontextprotocol/"
NEW = {"category": "shop", "name": "one", "description": "A thing.", "steps": ["look"]}


class Initialized(ServerClient):
    """A client of the revisions that begin with `initialize`."""

    opened_by = "initialize"

    def __init__(self, db: str, revision: str) -> None:
        asked = {"protocolVersion": revision, "capabilities": {}, "clientInfo": CLIENT}
        opening: list[Message] = [
            {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": asked},
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
        ]
        super().__init__(command_on(db), opening=opening)

    def agreed(self) -> list[str]:
        """The revisions that the server supports."""
        return [self.message(0)["result"]["protocolVersion"]]


class Enveloped(ServerClient):
    """A client of the revision without a handshake, in which each request has an envelope."""

    opened_by = "server/discover"

    def __init__(self, db: str, revision: str) -> None:
        self._meta = {
            f"{META}protocolVersion": revision,
            f"{META}clientInfo": CLIENT,
            f"{META}clientCapabilities": {},
        }
        super().__init__(command_on(db), opening=())

    def ask(self, method: str, **params: Any) -> int:
        """Send a request with its envelope, and return its id."""
        return super().ask(method, **params, _meta=self._meta)

    def agreed(self) -> list[str]:
        """The revisions without a handshake that the server supports."""
        found: list[str] = self.message(self.ask("server/discover"))["result"]["supportedVersions"]
        return found


def row(revision: str, opened_by: str, claim: Message, told: Message, tool: Message) -> str:
    """Return the results as a row of the page's table."""
    given = claim["result"]
    channels = " and ".join(
        words for field, words in (("content", "text"), ("structuredContent", "structured")) if field in given
    )
    extras = [field for field in ("title", "annotations", "outputSchema") if field in tool]
    return (
        f"| {revision} | `{opened_by}` | {given['structuredContent']['state']} | "
        f"{told['result']['structuredContent']['status']} | {channels} | {', '.join(extras) or 'none'} |"
    )


def rows() -> dict[str, str]:
    """Return the rows of the page's table by revision."""
    found = re.findall(r"^\| (\d{4}-\d\d-\d\d) \|.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    lines = re.findall(r"^\| \d{4}-\d\d-\d\d \|.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(zip(found, lines, strict=True))


@pytest.mark.parametrize("revision", [*STATEFUL, STATELESS])
def test_a_client_of_each_revision_claims_and_passes(db: str, revision: str) -> None:
    """The revision is negotiated, a feature is claimed and passed, and the page shows the results."""
    client = Enveloped(db, revision) if revision == STATELESS else Initialized(db, revision)
    try:
        assert client.agreed() == [revision]
        (number,) = client.call("feature_create", **NEW)["ids"]
        claim = client.message(client.send("feature_claim_and_get"))
        token = client.answer(claim["id"])["claim"]["token"]
        told = client.message(client.send("feature_mark_passing", feature_id=number, claim_token=token))
        assert client.call("feature_get_by_id", feature_id=number)["status"] == "passing"
        tool = client.message(client.ask("tools/list"))["result"]["tools"][0]
        seen = row(revision, client.opened_by, claim, told, tool)
        assert client.finish() == 0
    finally:
        client.close()
    if os.environ.get("DIBS_TEST_RENEW"):
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(re.sub(rf"(?m)^\| {revision} \|.*$", seen, page), encoding="utf-8")
    assert rows()[revision] == seen


def test_the_page_has_a_row_for_each_revision_that_the_sdk_speaks() -> None:
    """The table has exactly the tested revisions."""
    from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

    assert list(rows()) == [*STATEFUL, STATELESS] == [*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS]
