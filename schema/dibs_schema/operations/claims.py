"""The operations of an agent at work: claim a feature, renew the claim, end it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from dibs_schema.answers import Acknowledgement, Claimed, Idle
from dibs_schema.evidence import Evidence
from dibs_schema.inputs import Agent, Category, FeatureId, Note, Reason, RequestId, Token, Wait
from dibs_schema.operations.operation import Command, Operation, arguments, either, only
from dibs_schema.roles import CODER, PLANNER, TESTER
from dibs_schema.row_version import SeenAt

ID = ("feature_id",)


@arguments
class ClaimFeature:
    """Claim the next ready feature (or feature_id) for you alone, with all you need to build it.

    Call it first and after each outcome.
    """

    feature_id: FeatureId | None = None
    category: Category | None = None
    wait_seconds: Annotated[Wait, Field(description="wait for work")] = 0
    agent: Annotated[Agent | None, Field(description="your name")] = None
    resume: Annotated[bool, Field(description="take over what your name holds")] = False
    force: bool = False
    request_id: RequestId | None = None


@arguments
class MarkInProgress:
    """Claim a feature whose text you know; brings the token."""

    feature_id: FeatureId
    agent: Agent | None = None


@arguments
class SendHeartbeat:
    """Keep your claim; needed if renewed=false, or hourly."""

    feature_id: FeatureId
    claim_token: Token | None = None
    note: Note | None = None


@arguments
class ReleaseClaim:
    """End a claim without an outcome."""

    feature_id: FeatureId
    claim_token: Token | None = None
    force: Annotated[bool, Field(description="planner only: free another's claim")] = False
    unless_claimed_since: Annotated[SeenAt | None, Field(description="with force: its claimed_at as you read it")] = (
        None
    )


@arguments
class MarkPassing:
    """Finish a claimed feature that is built and tested. On a passing one: confirm it."""

    feature_id: FeatureId
    claim_token: Token | None = None
    evidence: Evidence | None = None


@arguments
class MarkFailing:
    """End a failed attempt, or report that a passing feature broke."""

    feature_id: FeatureId
    reason: Reason
    claim_token: Token | None = None
    keep: Annotated[bool, Field(description="claim what you report, to mend it")] = False
    evidence: SkipJsonSchema[Evidence | None] = None


@arguments
class SkipFeature:
    """Put a feature that cannot be built now last. Not for failures."""

    feature_id: FeatureId
    reason: Reason
    claim_token: Token | None = None


@arguments
class AddNote:
    """Tell a feature's next worker what you learned."""

    feature_id: FeatureId
    text: Note


class Claims:
    """The operations of an agent at work: claim a feature, renew the claim, end it."""

    take = Operation(
        "feature_claim_and_get",
        "Claim a feature",
        roles=(CODER, TESTER),
        arguments=ClaimFeature,
        answers=either(Claimed, Idle),
        command=Command(
            "claim",
            ID,
            options={"wait_seconds": "--wait"},
            texts={
                "category": "Claim a feature of this category only.",
                "resume": "Take over what the agent's name holds, if it holds anything.",
                "force": "With --resume: also from a session that still works.",
                "request_id": "The same id with the same arguments returns the same claim again.",
            },
            help="""Claim the next ready feature, or FEATURE_ID, with everything needed to build it.

            The exit status is 3 if nothing is ready now, 4 if nothing is left to do, and 5 if the rest waits for a
            person. With an agent's name the token is stored for your next commands. Otherwise send it with --token or
            DIBS_TOKEN.""",
        ),
        preloaded=True,
        former=("feature_get_next", "feature_claim_next"),
    )

    mark_in_progress = Operation(
        "feature_mark_in_progress",
        "Claim a known feature",
        roles=(CODER,),
        arguments=MarkInProgress,
        answers=only(Acknowledgement),
        command=Command("claim --brief", ID),
    )

    heartbeat = Operation(
        "feature_heartbeat",
        "Keep a claim",
        roles=(CODER, TESTER),
        arguments=SendHeartbeat,
        answers=only(Acknowledgement),
        command=Command(
            "heartbeat",
            ID,
            texts={"note": "What you have learned so far, for the next agent."},
            help="Show that you are at work. The lease of your claim starts again.",
        ),
    )

    release = Operation(
        "feature_clear_in_progress",
        "End a claim",
        roles=(CODER, TESTER, PLANNER),
        arguments=ReleaseClaim,
        answers=only(Acknowledgement),
        command=Command(
            "release",
            ID,
            texts={
                "force": "Release another agent's claim; planners only.",
                "unless_claimed_since": "With --force: refuse if it was claimed after this, its claimed_at as you read it.",
            },
        ),
        repeatable=True,
        former=("feature_release", "feature_release_claim"),
        planner_only=("force", "unless_claimed_since"),
    )

    mark_passing = Operation(
        "feature_mark_passing",
        "Pass a feature",
        roles=(CODER, TESTER),
        arguments=MarkPassing,
        answers=only(Acknowledgement),
        command=Command("pass", ID, texts={"evidence": "What shows that it works: a text, or the tool's JSON."}),
        repeatable=True,
        preloaded=True,
    )

    mark_failing = Operation(
        "feature_mark_failing",
        "Fail a feature",
        roles=(CODER, TESTER),
        arguments=MarkFailing,
        answers=only(Acknowledgement),
        command=Command(
            "fail",
            (*ID, "reason"),
            texts={
                "keep": "Claim the broken feature, to mend it; testers only.",
                "evidence": 'What the attempt has used, in JSON: {"usage": {"seconds": 80, "cost_usd": 0.4}}.',
            },
        ),
        preloaded=True,
        tester_only=("keep",),
    )

    skip = Operation(
        "feature_skip",
        "Skip a feature",
        roles=(CODER,),
        arguments=SkipFeature,
        answers=only(Acknowledgement),
        command=Command("skip", (*ID, "reason")),
    )

    add_note = Operation(
        "feature_add_note",
        "Add a note",
        roles=(CODER, TESTER, PLANNER),
        arguments=AddNote,
        answers=only(Acknowledgement),
        command=Command(
            "note",
            (*ID, "text"),
            help="Tell the next agent on a feature what you learned. With its token, your claim's lease starts again.",
        ),
    )
