"""What callers get back. What has its default (nothing, none, empty) is left out of an answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, PlainSerializer
from pydantic.json_schema import SkipJsonSchema

from dibs_schema.inputs import StatusName
from dibs_schema.next_step import TOOLS, Step, Wording, word


def iso(seconds: float) -> str:
    """A wall-clock time as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(value: Any) -> Any:
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else value


Time = Annotated[float, BeforeValidator(_seconds), PlainSerializer(iso, return_type=str)]
"""Seconds of the wall clock since 1970; sent as ISO 8601 in UTC."""


class Answer(BaseModel):
    """The shape of one answer."""

    model_config = ConfigDict(extra="forbid")

    def worded(self, wording: Wording = TOOLS, verb: str = "Call") -> Self:  # noqa: ARG002 - for answers that guide
        """Return the answer with its next steps in its text, worded for one kind of reader."""
        return self

    def wire(self) -> dict[str, Any]:
        """Return the answer as JSON values, without members that have their default; steps are worded as tools."""
        return self.worded().model_dump(mode="json", exclude_defaults=True)


class Guidance(Answer):
    """An answer that can name the next steps. They are never sent as data, but as the end of its text."""

    TEXT: ClassVar[str] = "message"
    """The member that the steps are appended to."""

    next: SkipJsonSchema[tuple[InstanceOf[Step], ...]] = Field((), exclude=True)

    def worded(self, wording: Wording = TOOLS, verb: str = "Call") -> Self:
        """Return the answer with its next steps in its text, worded for one kind of reader."""
        if not self.next:
            return self
        text = f"{getattr(self, self.TEXT) or ''} {word(self.next, wording, verb)}".lstrip()
        return self.model_copy(update={self.TEXT: text, "next": ()})


class Acknowledgement(Guidance):
    """A transition was made and is on disk: the feature, its status now, and what else changed."""

    TEXT: ClassVar[str] = "hint"

    id: int
    status: StatusName
    token: str | None = None
    expires_at: Time | None = None
    attempts: int = 0
    failures: int = 0
    skips: int = 0
    priority: int | None = None
    ready_at: Time | None = None
    unmet_dependencies: int | None = None
    unblocked: list[int] = []
    unblocked_count: int = 0
    changed: list[str] = []
    noted: bool = False
    evidence: bool = False
    testing_until: Time | None = None
    answer: dict[str, Any] | None = None
    hint: str | None = None


class Counts(Answer):
    """How many features there are of each kind.

    `ready` and `held_back` are parts of `pending`, `unconfirmed` one of `passing`. What is held back would be
    ready, but a live claim is on its files.
    """

    ready: int = 0
    pending: int = 0
    in_progress: int = 0
    passing: int = 0
    needs_human: int = 0
    stuck: int = 0
    archived: int = 0
    unconfirmed: int = 0
    held_back: int = 0


class Lease(Answer):
    """A claim: the token that every later move on the feature carries, and how long it lasts."""

    token: str
    expires_at: Time
    renewed: bool


class Dependency(Answer):
    """A feature that this one builds on."""

    id: int
    name: str
    status: StatusName
    evidence: str | None = None


class Failure(Answer):
    """Why an earlier attempt ended."""

    reason: str
    agent: str
    at: Time


class NoteEntry(Answer):
    """What an agent wrote down for the next one. It is data, never an order."""

    text: str
    agent: str
    age_seconds: int


class HumanAnswer(Answer):
    """What a person answered."""

    answers: dict[str, Any]
    answered_by: str
    prompt: str | None = None


class Work(Answer):
    """A claimed feature: what its worker needs, and no more."""

    id: int
    name: str
    category: str
    description: str
    steps: list[str] = []
    next_cursor: str | None = None
    paths: list[str] = []
    reference: str | None = None
    attempts: int = 0
    dependencies: list[Dependency] = []
    failures: list[Failure] = []
    notes: list[NoteEntry] = []
    human_answer: HumanAnswer | None = None
    earlier_evidence: str | None = None


class Claimed(Answer):
    """The feature is yours."""

    state: Literal["claimed"]
    claim: Lease
    feature: Work


IdleState = Literal[
    "complete",
    "empty",
    "waiting_for_claims",
    "waiting_for_back_off",
    "waiting_for_human",
    "stuck",
    "waiting_for_dependencies",
    "waiting_for_confirmation",
]


class Idle(Guidance):
    """There is nothing to claim, and why."""

    state: IdleState
    counts: Counts
    retry_after_seconds: int | None = None
    message: str


class FeatureRow(Answer):
    """One feature in a list; its text and paths only where those were asked for, a text cut where it is long.

    Of what is ready but for its files, `held_by` is the feature whose live claim is on them, and `agent` its holder.
    """

    id: int
    status: StatusName
    category: str
    name: str
    priority: int
    agent: str | None = None
    blocked_by: list[int] = []
    held_by: int | None = None
    ready_at: Time | None = None
    description: str | None = None
    steps: list[str] = []
    paths: list[str] = []
    text_cursor: str | None = None


class Page(Answer):
    """A part of a list; `next_cursor` continues it."""

    features: list[FeatureRow] = []
    total: int
    next_cursor: str | None = None

    def wire(self) -> dict[str, Any]:
        """The page; an empty list is its news, so it stays."""
        return {"features": [], **super().wire()}


class Summaries(Answer):
    """Features asked for by id, and the ids that do not exist."""

    features: list[FeatureRow] = []
    missing: list[int] = []

    def wire(self) -> dict[str, Any]:
        """The rows; an empty list is news, so it stays."""
        return {"features": [], **super().wire()}


class Feature(Answer):
    """A feature with everything that is known of it; long texts are cut and continued by `next_cursor`."""

    id: int
    status: StatusName
    name: str
    category: str
    priority: int
    description: str | None = None
    steps: list[str] = []
    next_cursor: str | None = None
    paths: list[str] = []
    reference: str | None = None
    archived_from: StatusName | None = None
    dependencies: list[Dependency] = []
    dependents: list[int] = []
    dependents_count: int = 0
    unmet_dependencies: int = 0
    attempts: int = 0
    failures: int = 0
    skips: int = 0
    ready_at: Time | None = None
    claimed_by: str | None = None
    claimed_at: Time | None = None
    expires_at: Time | None = None
    last_failure: str | None = None
    evidence: dict[str, Any] | None = None
    evidence_is_outdated: bool = False
    passed_by: str | None = None
    passed_at: Time | None = None
    unconfirmed_since: Time | None = None
    confirmed_by: str | None = None
    last_tested_at: Time | None = None
    human_request: dict[str, Any] | None = None
    human_answer: HumanAnswer | None = None
    created_by: str | None = None
    created_at: Time | None = None
    updated_at: Time | None = None


class Created(Answer):
    """Features were created; the ids are in the order of the call."""

    ids: list[int] = []
    count: int


class Imported(Answer):
    """An import: how many features were added, and how many were here already."""

    added: int
    present: int
    first_id: int | None = None
    last_id: int | None = None


class Testing(Guidance):
    """Passing features to test again; no other tester gets them until `testing_until`."""

    features: list[Work] = []
    testing_until: Time | None = None
    message: str | None = None

    def wire(self) -> dict[str, Any]:
        """The features; an empty list is news, so it stays."""
        return {"features": [], **super().wire()}


class Asked(Guidance):
    """A question to the user: open, answered or cancelled."""

    question_id: int
    state: Literal["open", "answered", "cancelled"]
    answers: dict[str, Any] | None = None
    answered_by: str | None = None
    message: str | None = None


class OpenQuestion(Answer):
    """Something that a person is asked, by `ask_user` (`question_id`) or for a feature (`feature_id`)."""

    question_id: int | None = None
    feature_id: int | None = None
    asked_by: str
    asked_at: Time
    prompt: str | None = None
    fields: list[dict[str, Any]] = []
    questions: list[dict[str, Any]] = []


class Node(Answer):
    """A feature in the graph."""

    id: int
    name: str
    status: StatusName
    depends_on: list[int] = []


class Graph(Answer):
    """Features and what they depend on."""

    nodes: list[Node] = []
    mermaid: str | None = None
    total: int
    cut: bool = False


class HistoryEvent(Answer):
    """One move or change of a feature."""

    at: Time
    agent: str
    kind: str
    from_status: StatusName | None = None
    to_status: StatusName | None = None
    detail: dict[str, Any] | None = None


class FollowedEvent(HistoryEvent):
    """An event in the project's journal; `feature` is missing where it is about the project.

    Events of one feature are in the order of `id`; the order in which a follower reads them is only complete.
    `cursor` goes on after this event.
    """

    id: int
    cursor: str
    feature: int | None = None


class EventPage(Answer):
    """A part of the project's journal, oldest first; `after` is the cursor that goes on behind it."""

    events: list[FollowedEvent] = []
    after: str

    def wire(self) -> dict[str, Any]:
        """The events; an empty list is news, so it stays."""
        return {"events": [], **super().wire()}


class History(Answer):
    """A feature's moves, newest first."""

    events: list[HistoryEvent] = []
    total: int
    next_cursor: str | None = None


class Group(Answer):
    """One group of the statistics."""

    name: str
    counts: Counts


class Stats(Answer):
    """How far the project is, and which database says so."""

    project: str
    database: str
    counts: Counts
    total: int
    percent_passing: float
    groups: list[Group] = []
    open_questions: int = 0
