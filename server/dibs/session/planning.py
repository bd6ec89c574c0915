"""The operations of a planner: fill the backlog, order it, repair it."""

from __future__ import annotations

from dibs.rules.idempotency import Request, once
from dibs.session.caller import CallContext
from dibs.session.session import Session
from dibs.verbs import create as creation
from dibs.verbs import depend
from dibs.verbs.batch import check_batch
from dibs.verbs.move import move_before, move_to
from dibs.verbs.update import change
from dibs_schema.answers import Acknowledgement, Created
from dibs_schema.inputs import InvalidEntry, NewFeature
from dibs_schema.object_lists import models_of
from dibs_schema.operations import planning as arguments
from dibs_schema.refusals import InvalidInput

TEXTS = ("category", "name", "description", "steps", "priority", "paths")
"""The columns that an update may change."""


async def create(session: Session, args: arguments.CreateFeature, _: CallContext) -> Created:
    """Add a feature."""
    by = session.author()
    feature = NewFeature(
        category=args.category,
        name=args.name,
        description=args.description,
        steps=list(args.steps),
        priority=args.priority,
        dependencies=list(args.dependencies or ()),
        paths=list(args.paths or ()),
    )
    options = {"allow_duplicates": True} if args.allow_duplicates else {}
    request = Request.of(args.request_id, "feature_create", feature.model_dump() | options)
    once_by_name = not args.allow_duplicates
    return await session.database.write(
        lambda tx: once(tx, request, Created, lambda: creation.create(tx, by, feature, once_by_name=once_by_name))
    )


async def create_many(session: Session, args: arguments.CreateFeatures, _: CallContext) -> Created:
    """Add up to 1,000 features, all or none, or those that are valid."""
    by = session.author()
    features: list[NewFeature | InvalidEntry] = models_of(args.features)
    options = {name: True for name in ("allow_duplicates", "partial") if getattr(args, name)}
    fingerprinted = {"features": [one.model_dump() for one in features if isinstance(one, NewFeature)]}
    request = Request.of(args.request_id, "feature_create_bulk", fingerprinted | options)
    batch, once_by_name = check_batch(features), not args.allow_duplicates
    return await session.database.write(
        lambda tx: once(
            tx,
            request,
            Created,
            lambda: creation.create_batch(tx, by, batch, once_by_name=once_by_name, partial=args.partial),
        )
    )


async def update(session: Session, args: arguments.UpdateFeature, _: CallContext) -> Acknowledgement:
    """Change a feature's texts, archive or restore it, or retry it."""
    by = session.author()
    changed = {name: value for name in TEXTS if (value := getattr(args, name)) is not None}
    return await session.database.write(
        lambda tx: change(
            tx, by, args.feature_id, changed, archived=args.archived, retry=args.retry, seen=args.unless_changed_since
        )
    )


async def move(session: Session, args: arguments.MoveFeature, _: CallContext) -> Acknowledgement:
    """Move a feature before another one, or to an end of the queue."""
    if (args.before is None) == (args.to is None):
        raise InvalidInput("Send either before or to.", field="before")
    by, feature, before, end = session.author(), args.feature_id, args.before, args.to
    if before is not None:
        return await session.database.write(lambda tx: move_before(tx, by, feature, before))
    assert end is not None, "one of the two is given"
    return await session.database.write(lambda tx: move_to(tx, by, feature, end))


async def add_dependency(session: Session, args: arguments.AddDependency, _: CallContext) -> Acknowledgement:
    """Let a feature wait for another."""
    by = session.author()
    return await session.database.write(lambda tx: depend.add_dependency(tx, by, args.feature_id, args.dependency_id))


async def remove_dependency(session: Session, args: arguments.RemoveDependency, _: CallContext) -> Acknowledgement:
    """Let a feature no longer wait for another."""
    by = session.author()
    return await session.database.write(
        lambda tx: depend.remove_dependency(tx, by, args.feature_id, args.dependency_id)
    )


async def set_dependencies(session: Session, args: arguments.SetDependencies, _: CallContext) -> Acknowledgement:
    """Replace everything that a feature waits for."""
    by = session.author()
    return await session.database.write(
        lambda tx: depend.set_dependencies(tx, by, args.feature_id, list(args.dependency_ids))
    )
