"""The operations that read, and the one that reserves features for a new test."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dibs_schema.answers import Feature, Graph, History, Overview, Page, Stats, Summaries, Testing
from dibs_schema.inputs import Agent, Category, Cursor, Depth, FeatureId, Fifty, Hundred, Several, StatusName, Ten
from dibs_schema.operations.operation import Command, Operation, arguments, only
from dibs_schema.roles import EVERYONE, PLANNER, TESTER, VIEWER

ID = ("feature_id",)
PAGE = {"limit": "List at most this many.", "cursor": "Continue after the last answer: its next_cursor."}


@arguments
class TakeForRegression:
    """Get passing features to test, reserved for you for 30 minutes: due rechecks, then those tested longest ago.

    Test each, then call feature_mark_passing or feature_mark_failing.
    """

    limit: Ten = 3


@arguments
class GetFeature:
    """Read one feature whole. To build it, claim it."""

    feature_id: FeatureId
    cursor: Annotated[Cursor | None, Field(description="rest of a long text")] = None


@arguments
class GetSummaries:
    """A line each for features by id."""

    feature_id: FeatureId | None = None
    feature_ids: Several | None = None


@arguments
class SearchFeatures:
    """Find features by text or status."""

    text: Category | None = None
    in_: Annotated[Literal["names", "all"], Field(alias="in", description="all: also texts, notes")] = "names"
    status: StatusName | None = None
    category: Category | None = None
    agent: Agent | None = None
    detail: Literal["brief", "full"] = "brief"
    limit: Hundred = 20
    cursor: Cursor | None = None


@arguments
class GetReady:
    """List what can be claimed. To get work, claim."""

    limit: Fifty = 10
    cursor: Cursor | None = None


@arguments
class GetBlocked:
    """List what cannot be claimed, why, and open questions."""

    limit: Hundred = 20
    cursor: Cursor | None = None


@arguments
class GetGraph:
    """See which features depend on which. To build one, claim it: a claim brings what it builds on."""

    root: Annotated[FeatureId | None, Field(description="only what this feature builds on")] = None
    depth: Depth | None = None
    limit: Hundred = 50
    format: Literal["json", "mermaid"] = "json"
    cursor: Cursor | None = None


@arguments
class GetHistory:
    """A feature's attempts, newest first."""

    feature_id: FeatureId
    limit: Hundred = 20
    cursor: Cursor | None = None


@arguments
class GetStats:
    """Progress of the project."""

    by: Literal["category", "agent"] | None = None


@arguments
class GetOverview:
    """See what needs a person, who works on what, and how fast the project goes."""


class Reading:
    """The operations that read, and the one that reserves features for a new test."""

    take_for_regression = Operation(
        "feature_get_for_regression",
        "Take features to test again",
        roles=(TESTER,),
        arguments=TakeForRegression,
        answers=only(Testing),
        command=Command(
            "regression",
            texts=PAGE,
            help="""Get passing features to test, reserved for you for 30 minutes: due rechecks, then the
            features tested longest ago.

            Test each, then run `dibs pass` or `dibs fail`.""",
        ),
        former=("feature_claim_for_testing", "feature_release_testing"),
    )

    get = Operation(
        "feature_get_by_id",
        "Read a feature",
        roles=EVERYONE,
        arguments=GetFeature,
        answers=only(Feature),
        command=Command(
            "get",
            ID,
            texts=PAGE,
            help="Read one feature whole. To build it, claim it; `dibs show` has its history, too.",
        ),
        reads=True,
    )

    summaries = Operation(
        "feature_get_summary",
        "Summaries",
        roles=EVERYONE,
        arguments=GetSummaries,
        answers=only(Summaries),
        command=Command("summary", ("feature_ids",)),
        reads=True,
    )

    search = Operation(
        "feature_search",
        "Find features",
        roles=EVERYONE,
        arguments=SearchFeatures,
        answers=only(Page),
        command=Command(
            "search",
            ("text",),
            texts={
                **PAGE,
                "in": "In name, category and reference, or also in descriptions, steps and notes.",
                "status": "List features of this status only.",
                "category": "List features of this category only.",
                "agent": "List features that this agent holds or has passed.",
                "detail": "One line each, or their own texts as well.",
            },
            help="Find features by TEXT in name, category or reference, or with `--in all` in all their texts.",
        ),
        reads=True,
    )

    ready = Operation(
        "feature_get_ready",
        "What is ready",
        roles=EVERYONE,
        arguments=GetReady,
        answers=only(Page),
        command=Command("ready", texts=PAGE),
        reads=True,
    )

    blocked = Operation(
        "feature_get_blocked",
        "What is blocked",
        roles=EVERYONE,
        arguments=GetBlocked,
        answers=only(Page),
        command=Command("blocked", texts=PAGE),
        reads=True,
    )

    graph = Operation(
        "feature_get_graph",
        "Dependency graph",
        roles=(PLANNER, VIEWER),
        arguments=GetGraph,
        answers=only(Graph),
        command=Command(
            "graph",
            texts={
                **PAGE,
                "root": "Only what this feature builds on.",
                "depth": "At most this many edges from the root.",
                "format": "As data, or as a mermaid flowchart.",
            },
            help="See which features depend on which.",
        ),
        reads=True,
    )

    history = Operation(
        "feature_get_history",
        "History",
        roles=EVERYONE,
        arguments=GetHistory,
        answers=only(History),
        command=Command("history", ID, texts=PAGE),
        reads=True,
    )

    stats = Operation(
        "feature_get_stats",
        "Progress",
        roles=EVERYONE,
        arguments=GetStats,
        answers=only(Stats),
        command=Command("stats", texts={"by": "Also in groups."}),
        reads=True,
    )

    overview = Operation(
        "feature_get_overview",
        "Overview",
        roles=(PLANNER, VIEWER),
        arguments=GetOverview,
        answers=only(Overview),
        command=Command("status"),
        reads=True,
    )
