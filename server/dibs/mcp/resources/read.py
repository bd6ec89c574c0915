"""The resources: what a client can read, and a user mention, without calling a tool."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from mcp.types import Resource, ResourceTemplate

from dibs.database.transaction import Transaction
from dibs.mcp.resources.uris import Address
from dibs.queries import follow, get, graph, search, stats
from dibs.session.session import Session

JSON, MERMAID = "application/json", "text/vnd.mermaid"

FIXED = (
    Resource(
        uri="features://stats",
        name="stats",
        title="Progress",
        description="How many features are ready, claimed, passing, stuck, and in which database.",
        mime_type=JSON,
    ),
    Resource(
        uri="features://ready",
        name="ready",
        title="Ready features",
        description="What can be claimed now, in the order in which it will be.",
        mime_type=JSON,
    ),
    Resource(
        uri="features://graph",
        name="graph",
        title="Dependency graph",
        description="Which features build on which, as a mermaid flowchart.",
        mime_type=MERMAID,
    ),
    Resource(
        uri="features://events",
        name="events",
        title="Latest events",
        description="What the agents did last, oldest first.",
        mime_type=JSON,
    ),
)
"""Few, since clients show them all in one menu; features are reached by a template."""

TEMPLATES = (
    ResourceTemplate(
        uri_template="feature://{id}",
        name="feature",
        title="A feature",
        description="Everything that is known of one feature.",
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
"""What each template takes."""

READY, NODES = 50, 100


async def read(here: Session, address: Address) -> tuple[str, str]:
    """A resource's text and its media type. Raises NotFound, InvalidInput, and what reading a database raises."""
    if address.feature is not None:
        here.claims.touch(address.feature)
    text = await here.database.read(lambda tx: _READERS[address.kind](tx, here, address))
    return text, MERMAID if address.kind == "graph" else JSON


def _feature(tx: Transaction, _: Session, address: Address) -> str:
    assert address.feature is not None, "its address has one"
    return _json(get.get_by_id(tx, address.feature, address.cursor).wire(), address)


def _stats(tx: Transaction, here: Session, address: Address) -> str:
    return _json(stats.get_stats(tx, here.database.label).wire(), address)


def _ready(tx: Transaction, _: Session, address: Address) -> str:
    return _json(search.get_ready(tx, READY, address.cursor).wire(), address)


def _events(tx: Transaction, _: Session, address: Address) -> str:
    data = follow.page(tx, address.cursor).wire()
    data["next_cursor"] = data.pop("after")  # there will always be more
    return _json(data, address)


def _graph(tx: Transaction, _: Session, __: Address) -> str:
    found = graph.get_graph(tx, limit=NODES, form="mermaid")
    assert found.mermaid is not None, "it was asked for"
    more = f"\n%% not all of the {found.total} features have room here; feature_get_graph takes a root"
    return found.mermaid + more if found.cut else found.mermaid


_READERS: dict[str, Callable[[Transaction, Session, Address], str]] = {
    "feature": _feature,
    "stats": _stats,
    "ready": _ready,
    "events": _events,
    "graph": _graph,
}


def _json(data: dict[str, Any], address: Address) -> str:
    """As answers are written; what there is more of, is named by the address that leads to it."""
    following = data.pop("next_cursor", None)
    if following is not None:
        data["next"] = address.going_on(following)
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
