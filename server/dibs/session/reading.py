"""Operations that read, and the operation that reserves features for a new test."""

from __future__ import annotations

from typing import Any

import anyio

from dibs.queries import get as features
from dibs.queries import search as lists
from dibs.queries.graph import get_graph
from dibs.queries.history import get_history
from dibs.queries.overview import get_overview
from dibs.queries.stats import get_stats
from dibs.queries.text_search import search_everywhere
from dibs.session.caller import CallContext
from dibs.session.session import Session
from dibs.session.stale_evidence import judged
from dibs.verbs import verify
from dibs_schema.answers import Feature, Graph, History, Overview, Page, Stats, Summaries, Testing
from dibs_schema.operations import reading as arguments
from dibs_schema.refusals import InvalidInput


async def take_for_regression(session: Session, args: arguments.TakeForRegression, _: CallContext) -> Testing:
    """Reserve the passing features tested longest ago."""
    by, fleet = session.author(), session.caller.fleet
    taken = await session.database.write(lambda tx: verify.take_for_regression(tx, args.limit, by, fleet))
    await session.claims.forget_ended(session.database, [feature.id for feature in taken.features])
    return taken


async def get(session: Session, args: arguments.GetFeature, context: CallContext) -> Feature:
    """Read one feature, and whether its verification was of another git tree than the caller's folder has now."""
    session.claims.touch(args.feature_id)
    feature = await session.database.read(lambda tx: features.get_by_id(tx, args.feature_id, args.cursor))
    if feature.verification is None or not context.has_folder:
        return feature
    return await anyio.to_thread.run_sync(judged, feature, session.settings.folder)


async def summaries(session: Session, args: arguments.GetSummaries, _: CallContext) -> Summaries:
    """Read one line for each of the given features."""
    if (args.feature_id is None) == (args.feature_ids is None):
        raise InvalidInput("Send either feature_id or feature_ids.", field="feature_ids")
    ids = [args.feature_id] if args.feature_id is not None else list(args.feature_ids or ())
    return await session.database.read(lambda tx: features.summaries(tx, ids))


async def search(session: Session, args: arguments.SearchFeatures, _: CallContext) -> Page:
    """List features by text, status, category or agent."""
    asked: dict[str, Any] = {
        name: getattr(args, name) for name in ("status", "category", "agent", "detail", "limit", "cursor")
    }
    if (text := args.text) is not None and args.in_ == "all":
        return await session.database.read(lambda tx: search_everywhere(tx, text, **asked))
    return await session.database.read(lambda tx: lists.search(tx, text=text, **asked))


async def ready(session: Session, args: arguments.GetReady, _: CallContext) -> Page:
    """List what can be claimed."""
    return await session.database.read(lambda tx: lists.get_ready(tx, args.limit, args.cursor))


async def blocked(session: Session, args: arguments.GetBlocked, _: CallContext) -> Page:
    """List what cannot be claimed, and why."""
    return await session.database.read(lambda tx: lists.get_blocked(tx, args.limit, args.cursor))


async def graph(session: Session, args: arguments.GetGraph, _: CallContext) -> Graph:
    """Read the graph of dependencies."""
    return await session.database.read(
        lambda tx: get_graph(
            tx, root=args.root, depth=args.depth, limit=args.limit, form=args.format, cursor=args.cursor
        )
    )


async def history(session: Session, args: arguments.GetHistory, _: CallContext) -> History:
    """List a feature's events."""
    return await session.database.read(lambda tx: get_history(tx, args.feature_id, args.limit, args.cursor))


async def stats(session: Session, args: arguments.GetStats, _: CallContext) -> Stats:
    """Count the project's features."""
    return await session.database.read(lambda tx: get_stats(tx, session.database.label, args.by))


async def overview(session: Session, _: arguments.GetOverview, __: CallContext) -> Overview:
    """Read what a person wants to see first."""
    return await session.database.read(lambda tx: get_overview(tx, session.database.label))
