"""The operations of a planner: fill the backlog, order it, repair it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dibs_schema.answers import Acknowledgement, Created
from dibs_schema.inputs import (
    PATHS,
    PRIORITY,
    Category,
    Description,
    FeatureId,
    FeatureIds,
    Name,
    NewFeatures,
    Paths,
    Priority,
    RequestId,
    Steps,
)
from dibs_schema.lenient_input import MAY_BE_EMPTY
from dibs_schema.operations.operation import Command, Operation, arguments, only
from dibs_schema.roles import CODER, PLANNER, TESTER
from dibs_schema.row_version import SeenAt

ID = ("feature_id",)
REPEATED = {"steps": "--step", "paths": "--path"}
TEXTS = {
    "category": "The category it belongs to.",
    "name": "Its name.",
    "description": "What it does.",
    "priority": "A lower number comes first.",
}


@arguments
class CreateFeature:
    """Add a feature."""

    category: Category
    name: Name
    description: Description
    steps: Annotated[Steps, Field(description="how to check it")]
    priority: Annotated[Priority | None, Field(description=PRIORITY)] = None
    dependencies: Annotated[FeatureIds | None, Field(description="ids to wait for")] = None
    paths: Annotated[Paths | None, Field(description=PATHS)] = None
    request_id: RequestId | None = None
    allow_duplicates: bool = False


@arguments
class CreateFeatures:
    """Add up to 1,000 features, all or none; ids come back in order.

    Entries name each other by their keys in depends_on, or by position in depends_on_indices (0 is the first).
    dependencies are ids of existing features. What exists by category and name is not added again.
    """

    features: NewFeatures
    request_id: Annotated[RequestId | None, Field(description="repeat a call with it if its answer was lost")] = None
    allow_duplicates: bool = False
    partial: Annotated[bool, Field(description="add the valid entries, and say why not the others")] = False


@arguments
class UpdateFeature:
    """Change a feature's texts, priority or paths, archive or restore it, or retry a failed one."""

    feature_id: FeatureId
    category: Category | None = None
    name: Name | None = None
    description: Description | None = None
    steps: Steps | None = None
    priority: Annotated[Priority | None, Field(description="lower first")] = None
    paths: Annotated[Paths | None, Field(description="as when created; [] for none"), MAY_BE_EMPTY] = None
    archived: Annotated[bool | None, Field(description="true takes it off the board, false restores it")] = None
    retry: Annotated[bool, Field(description="end being stuck, or a back-off")] = False
    unless_changed_since: Annotated[SeenAt | None, Field(description="its updated_at as you read it")] = None


@arguments
class MoveFeature:
    """Move a feature in the queue: right before another one, or to an end of it."""

    feature_id: FeatureId
    before: Annotated[FeatureId | None, Field(description="the feature that then comes after it")] = None
    to: Literal["front", "end"] | None = None


@arguments
class AddDependency:
    """Let feature_id wait until dependency_id passes. To say all that it waits for, feature_set_dependencies."""

    feature_id: FeatureId
    dependency_id: FeatureId


@arguments
class RemoveDependency:
    """Let feature_id no longer wait for dependency_id."""

    feature_id: FeatureId
    dependency_id: FeatureId


@arguments
class SetDependencies:
    """Replace everything that feature_id waits for; an empty list frees it. For one more, feature_add_dependency."""

    feature_id: FeatureId
    dependency_ids: FeatureIds


class Planning:
    """The operations of a planner: fill the backlog, order it, repair it."""

    create = Operation(
        "feature_create",
        "Add a feature",
        roles=(PLANNER, CODER, TESTER),
        arguments=CreateFeature,
        answers=only(Created),
        command=Command(
            "add",
            ("name",),
            options={**REPEATED, "dependencies": "--depends-on"},
            texts={
                **TEXTS,
                "steps": "How to check it; may be repeated.",
                "dependencies": "The id of a feature to wait for; may be repeated.",
                "paths": "A glob of files that it changes; may be repeated.",
                "request_id": "The same id with the same feature adds it once.",
                "allow_duplicates": "Add it even if there is a feature of this category and name.",
            },
        ),
        planner_only=("paths", "allow_duplicates"),
    )

    create_many = Operation(
        "feature_create_bulk",
        "Add many features",
        roles=(PLANNER,),
        arguments=CreateFeatures,
        answers=only(Created),
        command=Command(
            "plan",
            ("features",),
            texts={
                "request_id": "The same id with the same features adds them once.",
                "allow_duplicates": "Add features even if others have their category and name.",
                "partial": "Add the valid features, and print why the others were not added.",
            },
            help="""Add up to 1,000 features from the JSON file FEATURES (default: standard input), all or none.

            The file holds a list of objects with category, name, description and steps. They may also have a priority,
            dependencies (ids of existing features), a key and depends_on (keys of others in this list),
            depends_on_indices (positions in this list, from 0) and paths (globs of files). A feature that exists by
            category and name is not added again. The ids come back in order.""",
        ),
    )

    update = Operation(
        "feature_update",
        "Change a feature",
        roles=(PLANNER,),
        arguments=UpdateFeature,
        answers=only(Acknowledgement),
        command=Command(
            "update",
            ID,
            options={**REPEATED, "archived": "--archive/--restore"},
            texts={
                **TEXTS,
                "steps": "How to check it; may be repeated. Replaces all steps.",
                "paths": "A glob of files that it changes; may be repeated. Replaces all paths.",
                "archived": "Take it off the board, or bring it back.",
                "unless_changed_since": "Refuse if it was changed after this time, its updated_at as you read it.",
                "retry": "Put back a feature that is stuck or in its back-off, and reset its counters.",
            },
        ),
        destroys=True,
        repeatable=True,
    )

    move = Operation(
        "feature_move",
        "Move in the queue",
        roles=(PLANNER,),
        arguments=MoveFeature,
        answers=only(Acknowledgement),
        command=Command(
            "move",
            ID,
            texts={"before": "The id of the feature that then comes right after it.", "to": "An end of the queue."},
            help="Move a feature in the queue: dibs move 7 --before 3, or dibs move 7 --to front.",
        ),
        repeatable=True,
    )

    add_dependency = Operation(
        "feature_add_dependency",
        "Add a dependency",
        roles=(PLANNER,),
        arguments=AddDependency,
        answers=only(Acknowledgement),
        command=Command(
            "depend", (*ID, "dependency_id"), help="Let a feature wait until another passes: dibs depend 7 3."
        ),
        repeatable=True,
    )

    remove_dependency = Operation(
        "feature_remove_dependency",
        "Remove a dependency",
        roles=(PLANNER,),
        arguments=RemoveDependency,
        answers=only(Acknowledgement),
        command=Command("depend --remove", (*ID, "dependency_id")),
        destroys=True,
        repeatable=True,
    )

    set_dependencies = Operation(
        "feature_set_dependencies",
        "Set dependencies",
        roles=(PLANNER,),
        arguments=SetDependencies,
        answers=only(Acknowledgement),
        command=Command("depend --only", (*ID, "dependency_ids")),
        destroys=True,
        repeatable=True,
    )
