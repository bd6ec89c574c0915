"""The operations that read, and the one that hands out features to test again."""

from __future__ import annotations

from dibs.queries import get as features
from dibs.queries import search as lists
from dibs.queries.graph import get_graph
from dibs.queries.history import get_history
from dibs.queries.stats import get_stats
from dibs.session.caller import CallContext
from dibs.session.session import Session
from dibs.verbs import verify
from dibs_schema.answers import Feature, Graph, History, Page, Stats, Summaries, Testing
from dibs_schema.operations.reading import (
    GetBlocked,
    GetFeature,
    GetGraph,
    GetHistory,
    GetReady,
    GetStats,
    GetSummaries,
    SearchFeatures,
    TakeForRegression,
)
from dibs_schema.refusals import InvalidInput


async def take_for_regression(session: Session, asked: TakeForRegression, _: CallContext) -> Testing:
    """Reserve the passing features tested longest ago."""
    by = session.author()
    taken = await session.database.write(lambda tx: verify.take_for_regression(tx, asked.limit, by))
    await session.claims.forget_ended(session.database, [feature.id for feature in taken.features])
    return taken


async def get(session: Session, asked: GetFeature, _: CallContext) -> Feature:
    """Read one feature."""
    session.claims.touch(asked.feature_id)
    return await session.database.read(lambda tx: features.get_by_id(tx, asked.feature_id, asked.cursor))


async def summaries(session: Session, asked: GetSummaries, _: CallContext) -> Summaries:
    """Read a line for each of some features."""
    if (asked.feature_id is None) == (asked.feature_ids is None):
        raise InvalidInput("Send either feature_id or feature_ids.", field="feature_ids")
    ids = [asked.feature_id] if asked.feature_id is not None else list(asked.feature_ids or ())
    return await session.database.read(lambda tx: features.summaries(tx, ids))


async def search(session: Session, asked: SearchFeatures, _: CallContext) -> Page:
    """List features by text, status, category or agent."""
    return await session.database.read(
        lambda tx: lists.search(
            tx,
            text=asked.text,
            status=asked.status,
            category=asked.category,
            agent=asked.agent,
            detail=asked.detail,
            limit=asked.limit,
            cursor=asked.cursor,
        )
    )


async def ready(session: Session, asked: GetReady, _: CallContext) -> Page:
    """List what can be claimed."""
    return await session.database.read(lambda tx: lists.get_ready(tx, asked.limit, asked.cursor))


async def blocked(session: Session, asked: GetBlocked, _: CallContext) -> Page:
    """List what cannot be claimed, and why."""
    return await session.database.read(lambda tx: lists.get_blocked(tx, asked.limit, asked.cursor))


async def graph(session: Session, asked: GetGraph, _: CallContext) -> Graph:
    """Read the graph of dependencies."""
    return await session.database.read(
        lambda tx: get_graph(tx, root=asked.root, depth=asked.depth, limit=asked.limit, form=asked.format)
    )


async def history(session: Session, asked: GetHistory, _: CallContext) -> History:
    """List a feature's events."""
    return await session.database.read(lambda tx: get_history(tx, asked.feature_id, asked.limit, asked.cursor))


async def stats(session: Session, asked: GetStats, _: CallContext) -> Stats:
    """Count the project's features."""
    return await session.database.read(lambda tx: get_stats(tx, session.database.label, asked.by))
