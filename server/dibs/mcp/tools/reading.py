"""The tools that only look, and the one that hands out regression tests."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dibs.mcp.context import Ctx, connection_of
from dibs.queries import get, graph, history, search, stats
from dibs.verbs import regression
from dibs_schema.answers import Feature, Graph, History, Page, Stats, Summaries, Testing
from dibs_schema.inputs import (
    Agent,
    Category,
    Cursor,
    Depth,
    FeatureId,
    Fifty,
    Hundred,
    Several,
    StatusName,
    Ten,
)
from dibs_schema.refusals import InvalidInput


async def feature_get_for_regression(ctx: Ctx, limit: Ten = 3) -> Testing:
    """Get the passing features tested longest ago, reserved for you for 30 minutes.

    Test each, then call feature_mark_passing or feature_mark_failing.
    """
    here = connection_of(ctx)
    by = here.author()
    taken = await here.database.write(lambda tx: regression.take_for_regression(tx, limit, by))
    here.tokens.forget(feature.id for feature in taken.features)  # a report on them is about no earlier claim
    return taken


async def feature_get_by_id(
    ctx: Ctx,
    feature_id: FeatureId,
    cursor: Annotated[Cursor | None, Field(description="for the rest of a long text")] = None,
) -> Feature:
    """Read one feature whole. To build it, claim it."""
    here = connection_of(ctx)
    here.tokens.touch(feature_id)
    return await here.database.read(lambda tx: get.get_by_id(tx, feature_id, cursor))


async def feature_get_summary(
    ctx: Ctx, feature_id: FeatureId | None = None, feature_ids: Several | None = None
) -> Summaries:
    """A line each for features by id."""
    if (feature_id is None) == (feature_ids is None):
        raise InvalidInput("Send either feature_id or feature_ids.", field="feature_ids")
    ids = [feature_id] if feature_id is not None else feature_ids or []
    return await connection_of(ctx).database.read(lambda tx: get.summaries(tx, ids))


async def feature_search(
    ctx: Ctx,
    text: Annotated[Category | None, Field(description="in name, category, reference")] = None,
    status: StatusName | None = None,
    category: Category | None = None,
    agent: Agent | None = None,
    detail: search.Detail = "brief",
    limit: Hundred = 20,
    cursor: Cursor | None = None,
) -> Page:
    """Find features by text or status."""
    return await connection_of(ctx).database.read(
        lambda tx: search.search(
            tx,
            text=text,
            status=status,
            category=category,
            agent=agent,
            detail=detail,
            limit=limit,
            cursor=cursor,
        )
    )


async def feature_get_ready(ctx: Ctx, limit: Fifty = 10, cursor: Cursor | None = None) -> Page:
    """List what can be claimed. To get work, claim instead."""
    return await connection_of(ctx).database.read(lambda tx: search.get_ready(tx, limit, cursor))


async def feature_get_blocked(ctx: Ctx, limit: Hundred = 20, cursor: Cursor | None = None) -> Page:
    """List what cannot be claimed, and why."""
    return await connection_of(ctx).database.read(lambda tx: search.get_blocked(tx, limit, cursor))


async def feature_get_graph(
    ctx: Ctx,
    root: Annotated[FeatureId | None, Field(description="only what this feature builds on")] = None,
    depth: Depth | None = None,
    limit: Hundred = 50,
    format: Literal["json", "mermaid"] = "json",  # noqa: A002 - the contract's name
) -> Graph:
    """See which features depend on which. To build one, claim it: a claim brings what it builds on."""
    return await connection_of(ctx).database.read(
        lambda tx: graph.get_graph(tx, root=root, depth=depth, limit=limit, form=format)
    )


async def feature_get_history(
    ctx: Ctx, feature_id: FeatureId, limit: Hundred = 20, cursor: Cursor | None = None
) -> History:
    """Events of a feature, newest first."""
    return await connection_of(ctx).database.read(
        lambda tx: history.get_history(tx, feature_id, limit, cursor)
    )


async def feature_get_stats(ctx: Ctx, by: Literal["category", "agent"] | None = None) -> Stats:
    """Progress of the project."""
    here = connection_of(ctx)
    return await here.database.read(lambda tx: stats.get_stats(tx, here.database.label, by))
