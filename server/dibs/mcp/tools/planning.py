"""The tools of a planner: fill the backlog, order it, repair it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dibs.mcp.context import Ctx, connection_of
from dibs.rules.idempotency import Request, once
from dibs.verbs import create, depend, update
from dibs_schema.answers import Acknowledgement, Created
from dibs_schema.inputs import (
    PATHS,
    Category,
    Description,
    FeatureId,
    FeatureIds,
    Name,
    NewFeature,
    NewFeatures,
    Paths,
    Priority,
    RequestId,
    Steps,
)


async def feature_create(
    ctx: Ctx,
    category: Category,
    name: Name,
    description: Description,
    steps: Annotated[Steps, Field(description="how to check it")],
    priority: Annotated[Priority | None, Field(description="lower is sooner")] = None,
    dependencies: Annotated[FeatureIds | None, Field(description="ids to wait for")] = None,
    paths: Annotated[Paths | None, Field(description=PATHS)] = None,
    request_id: RequestId | None = None,
) -> Created:
    """Add a feature to the backlog."""
    here = connection_of(ctx)
    by = here.author()
    feature = NewFeature(
        category=category,
        name=name,
        description=description,
        steps=steps,
        priority=priority,
        dependencies=dependencies or [],
        paths=paths or [],
    )
    request = Request.of(request_id, "feature_create", feature.model_dump())
    return await here.database.write(
        lambda tx: once(tx, request, Created, lambda: create.create(tx, by, feature))
    )


async def feature_create_bulk(
    ctx: Ctx, features: NewFeatures, request_id: RequestId | None = None
) -> Created:
    """Add up to 1,000 features, all or none; ids come back in order.

    depends_on_indices point into this batch (0 is the first), dependencies at existing ids.
    """
    here = connection_of(ctx)
    by = here.author()
    request = Request.of(
        request_id, "feature_create_bulk", {"features": [one.model_dump() for one in features]}
    )
    return await here.database.write(
        lambda tx: once(tx, request, Created, lambda: create.create_bulk(tx, by, features))
    )


async def feature_update(
    ctx: Ctx,
    feature_id: FeatureId,
    category: Category | None = None,
    name: Name | None = None,
    description: Description | None = None,
    steps: Steps | None = None,
    priority: Priority | None = None,
    paths: Annotated[Paths | None, Field(description="as when created; [] for none")] = None,
    archived: Annotated[
        bool | None, Field(description="true takes it off the board, false restores it")
    ] = None,
    retry: Annotated[bool, Field(description="put a stuck feature back, its counters reset")] = False,
    confirm: Annotated[bool, Field(description="confirm a pass in another agent's place")] = False,
) -> Acknowledgement:
    """Change a feature's texts, priority or paths, archive or restore it, retry a stuck one, or confirm a pass."""
    here = connection_of(ctx)
    by = here.author()
    given = {
        "category": category,
        "name": name,
        "description": description,
        "steps": steps,
        "priority": priority,
        "paths": paths,
    }
    texts = {field: value for field, value in given.items() if value is not None}
    return await here.database.write(
        lambda tx: update.change(tx, by, feature_id, texts, archived=archived, retry=retry, confirm=confirm)
    )


async def feature_add_dependency(
    ctx: Ctx, feature_id: FeatureId, dependency_id: FeatureId
) -> Acknowledgement:
    """Let feature_id wait until dependency_id passes. To say all that it waits for, feature_set_dependencies."""
    here = connection_of(ctx)
    by = here.author()
    return await here.database.write(lambda tx: depend.add_dependency(tx, by, feature_id, dependency_id))


async def feature_remove_dependency(
    ctx: Ctx, feature_id: FeatureId, dependency_id: FeatureId
) -> Acknowledgement:
    """Let feature_id no longer wait for dependency_id."""
    here = connection_of(ctx)
    by = here.author()
    return await here.database.write(lambda tx: depend.remove_dependency(tx, by, feature_id, dependency_id))


async def feature_set_dependencies(
    ctx: Ctx, feature_id: FeatureId, dependency_ids: FeatureIds
) -> Acknowledgement:
    """Replace everything that feature_id waits for; an empty list frees it. For one more, feature_add_dependency."""
    here = connection_of(ctx)
    by = here.author()
    return await here.database.write(lambda tx: depend.set_dependencies(tx, by, feature_id, dependency_ids))
