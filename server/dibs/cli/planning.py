"""What a planner does in a shell: fill the backlog, order it, repair it."""

from __future__ import annotations

from typing import IO, Any

import click

from dibs.cli.asking import from_json
from dibs.cli.calling import Call, calls, fitting
from dibs_schema.answers import Answer, Created
from dibs_schema.inputs import (
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
from dibs_schema.refusals import InvalidInput

request_id = click.option("--request-id", help="The same id with the same features adds them once.")


@click.command()
@click.argument("name")
@click.option("--category", required=True, help="What it belongs to.")
@click.option("--description", required=True, help="What it does.")
@click.option("--step", "steps", multiple=True, required=True, help="How to check it; may be repeated.")
@click.option("--priority", type=int, help="Lower is sooner.  [default: behind all others]")
@click.option(
    "--depends-on", "dependencies", type=int, multiple=True, help="A feature to wait for; may be repeated."
)
@click.option("--path", "paths", multiple=True, help="A glob of files that it changes; may be repeated.")
@request_id
@calls("feature_create", "agent")
def add(
    call: Call,
    name: Name,
    category: Category,
    description: Description,
    steps: Steps,
    priority: Priority | None,
    dependencies: FeatureIds,
    paths: Paths,
    request_id: RequestId | None,
) -> Answer:
    """Add a feature to the backlog."""
    from dibs.rules.idempotency import Request, once
    from dibs.verbs import create

    feature = NewFeature(
        category=category,
        name=name,
        description=description,
        steps=steps,
        priority=priority,
        dependencies=dependencies,
        paths=paths,
    )
    request = Request.of(request_id, "feature_create", feature.model_dump())
    return call.write(
        lambda tx: once(tx, request, Created, lambda: create.create(tx, call.author, feature)), make=True
    )


def _features(_: click.Context, __: click.Parameter, file: IO[str]) -> Any:
    """The features in a file: a JSON list, or an object with one under `features`."""
    found = from_json("FEATURES", file.read())
    return found["features"] if isinstance(found, dict) and "features" in found else found


@click.command()
@click.argument("features", type=click.File(encoding="utf-8"), default="-", callback=_features)
@request_id
@calls("feature_create_bulk", "agent")
def plan(call: Call, features: NewFeatures, request_id: RequestId | None) -> Answer:
    """Add up to 1,000 features from FEATURES (a JSON file; default: standard input), all or none.

    A list of objects with category, name, description, steps; priority, dependencies (ids of features that
    exist), depends_on_indices (places in this list, from 0), paths (globs of files) where wanted. The ids come
    back in order.
    """
    from dibs.rules.idempotency import Request, once
    from dibs.verbs import create

    request = Request.of(
        request_id, "feature_create_bulk", {"features": [one.model_dump() for one in features]}
    )
    return call.write(
        lambda tx: once(tx, request, Created, lambda: create.create_bulk(tx, call.author, features)),
        make=True,
    )


@click.command()
@click.argument("feature_id", type=int)
@click.option("--category", help="What it belongs to.")
@click.option("--name", help="What it is called.")
@click.option("--description", help="What it does.")
@click.option(
    "--step", "steps", multiple=True, help="How to check it; may be repeated, and replaces all steps."
)
@click.option("--priority", type=int, help="Lower is sooner.")
@click.option(
    "--path", "paths", multiple=True, help="A glob of files that it changes; may be repeated, replaces all."
)
@click.option("--no-paths", is_flag=True, help="It may be worked on beside any other.")
@click.option(
    "--archive/--restore", "archived", default=None, help="Take it off the board, or bring it back."
)
@click.option("--retry", is_flag=True, help="Put a stuck feature back, its counters reset.")
@click.option("--confirm", is_flag=True, help="Confirm a pass in another agent's place.")
@calls("feature_update", "agent")
def update(
    call: Call,
    feature_id: FeatureId,
    category: Category | None,
    name: Name | None,
    description: Description | None,
    steps: list[str],
    priority: Priority | None,
    paths: list[str],
    no_paths: bool,
    archived: bool | None,
    retry: bool,
    confirm: bool,
) -> Answer:
    """Change a feature's texts, priority or paths, archive or restore it, retry a stuck one, or confirm a pass."""
    from dibs.verbs import update

    given = {
        "category": category,
        "name": name,
        "description": description,
        "steps": fitting({"steps": Steps}, {"steps": steps})["steps"] if steps else None,
        "priority": priority,
        "paths": fitting({"paths": Paths}, {"paths": paths})["paths"] if paths or no_paths else None,
    }
    texts = {field: value for field, value in given.items() if value is not None}
    return call.write(
        lambda tx: update.change(
            tx, call.author, feature_id, texts, archived=archived, retry=retry, confirm=confirm
        )
    )


@click.command()
@click.argument("feature_id", type=int)
@click.argument("dependency_ids", type=int, nargs=-1)
@click.option("--remove", is_flag=True, help="Let it wait no longer for that one.")
@click.option("--only", is_flag=True, help="Let it wait for these and no others; with none it is free.")
@calls("feature_add_dependency", "agent")
def depend(call: Call, feature_id: FeatureId, dependency_ids: FeatureIds, remove: bool, only: bool) -> Answer:
    """Let a feature wait until another passes: dibs depend 7 3."""
    from dibs.verbs import depend as edges

    if remove and only:
        raise InvalidInput("Give --remove or --only, not both.", field="remove")
    if only:
        return call.write(lambda tx: edges.set_dependencies(tx, call.author, feature_id, dependency_ids))
    if len(dependency_ids) != 1:
        raise InvalidInput("Name one feature to wait for, or several with --only.", field="dependency_ids")
    verb = edges.remove_dependency if remove else edges.add_dependency
    return call.write(lambda tx: verb(tx, call.author, feature_id, dependency_ids[0]))
