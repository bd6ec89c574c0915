"""The resources, which a client can read, and a user can mention, without a tool call."""

from __future__ import annotations

import json

from mcp.types import Resource, ResourceTemplate

from dibs.database.transaction import Transaction
from dibs.mcp.resources.uris import Address
from dibs.queries import follow, get, graph, overview, search, stats
from dibs.session.session import Session

JSON, MERMAID = "application/json", "text/vnd.mermaid"


def _resource(name: str, title: str, description: str, mime_type: str = JSON) -> Resource:
    return Resource(uri=f"features://{name}", name=name, title=title, description=description, mime_type=mime_type)


FIXED = (
    _resource("stats", "Progress", "How many features are ready, claimed, passing, stuck, and in which database."),
    _resource("overview", "Overview", "What needs a person, who works on what, and how fast the project goes."),
    _resource("ready", "Ready features", "What can be claimed now, in the order in which it will be."),
    _resource("graph", "Dependency graph", "Which features build on which, as a mermaid flowchart.", MERMAID),
    _resource("events", "Latest events", "What the agents did last, oldest first."),
)
"""Only a few, since clients show all of them in one menu; a template leads to each feature."""

TEMPLATES = (
    ResourceTemplate(
        uri_template="feature://{id}",
        name="feature",
        title="A feature",
        description="Everything known about one feature.",
        mime_type=JSON,
    ),
    ResourceTemplate(
        uri_template="features://events{?after}",
        name="events_after",
        title="Events after a cursor",
        description="What happened after an event, named by its `cursor`; 0-0 is the beginning.",
        mime_type=JSON,
    ),
)

PARAMETERS = {"feature://{id}": ("id",), "features://events{?after}": ("after",)}
"""The variables of each template."""


async def read(session: Session, address: Address) -> tuple[str, str]:
    """Return a resource's text and its media type. Raises NotFound, InvalidInput, and the Unavailable refusals."""
    if address.feature is not None:
        session.claims.touch(address.feature)
    text = await session.database.read(lambda tx: _text(tx, session.database.label, address))
    return text, MERMAID if address.kind == "graph" else JSON


def _text(tx: Transaction, database: str, address: Address) -> str:
    match address.kind:
        case "feature":
            assert address.feature is not None, "its URI contains an id"
            data = get.get_by_id(tx, address.feature, address.cursor).wire()
        case "stats":
            data = stats.get_stats(tx, database).wire()
        case "overview":
            data = overview.get_overview(tx, database).wire()
        case "ready":
            data = search.get_ready(tx, 50, address.cursor).wire()
        case "events":
            data = follow.page(tx, address.cursor).wire()
            data["next_cursor"] = data.pop("after")  # later events continue there
        case "graph":
            found = graph.get_graph(tx, limit=100, form="mermaid")
            assert found.mermaid is not None, "the form is mermaid"
            more = f"\n%% not all of the {found.total} features have room here; feature_get_graph takes a root"
            return found.mermaid + more if found.cut else found.mermaid
    cursor = data.pop("next_cursor", None)
    if cursor is not None:
        data["next"] = address.following(cursor)
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
