"""The field names and status words of public feature lists, in snake case, and their meaning in Dibs."""

from __future__ import annotations

import re
from typing import Final

from dibs_schema.status import Status

# fmt: off
CONTAINERS: Final = (
    "features", "feature_list", "tasks", "items", "stories", "user_stories", "backlog", "todos", "requirements",
    "issues", "tickets", "work_items",
)
GROUPS: Final = (
    "phases", "epics", "categories", "milestones", "modules", "sprints", "groups", "areas", "sections",
)
GROUP_NAMES: Final = ("name", "title", "category", "epic", "phase", "milestone", "id")

IDS: Final = ("id", "feature_id", "task_id", "story_id", "key")
NAMES: Final = ("title", "name")
SPARE_NAMES: Final = ("summary", "feature_name", "task", "story")
DESCRIPTIONS: Final = ("description", "user_visible_behavior", "behavior", "behaviour", "summary", "story")
DETAILS: Final = ("details",)
CATEGORIES: Final = ("category",)
SPARE_CATEGORIES: Final = ("area", "component", "epic", "module", "feature", "type", "group", "phase")
STEPS: Final = (
    "steps", "done_criteria", "acceptance_criteria", "acceptance", "test_steps", "verification", "verification_steps",
    "verification_command", "test_strategy", "subtasks",
)
DEPENDENCIES: Final = ("dependencies", "depends_on", "blocked_by")
DEPENDENCY_INDICES: Final = ("depends_on_indices",)
PATHS: Final = ("paths",)
STATUSES: Final = ("status", "state")
FLAGS: Final = (
    "passes", "passed", "passing", "done", "completed", "complete", "is_done", "is_complete", "finished",
)
HUMAN_FLAGS: Final = ("needs_human_input", "needs_human")
PROGRESS_FLAGS: Final = ("in_progress",)
EVIDENCE: Final = ("evidence", "verification_evidence", "proof", "verified_via", "verification")
FAILURES: Final = ("last_failure", "failure_reason", "last_error", "error", "blocked_reason", "block_reason")
REQUESTS: Final = ("human_input_request", "human_request")
ANSWERS: Final = ("human_input_response", "human_answer")

STEP_TITLES: Final = ("title", "name")
STEP_TEXTS: Final = ("text", "description", "step", "action", "criterion", "instruction", "content")
STEP_PARTS: Final = (
    ("given", "Given {}"), ("when", "When {}"), ("then", "Then {}"), ("expected", "Expected: {}"),
    ("expected_result", "Expected: {}"),
)
# fmt: on

BOOLEANS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

IN_PROGRESS: Final = ("in_progress", "inprogress", "doing", "wip", "started", "active", "working", "claimed")
BLOCKED: Final = ("blocked", "on_hold")
_STATUS_WORDS: Final = {
    Status.PASSING: (
        "pass", "passed", "passes", "passing", "done", "complete", "completed", "verified", "finished",
        "closed", "shipped", "released", "merged", "ok", "success", "succeeded",
    ),
    Status.PENDING: (
        "pending", "todo", "to_do", "open", "new", "ready", "planned", "queued", "backlog", "not_started",
        "notstarted", "not_done", "incomplete", "failing", "fail", "failed", "skipped", "skip", "deferred",
        "review", "in_review", "needs_review", "testing", *IN_PROGRESS,
    ),
    Status.NEEDS_HUMAN: ("needs_human", "needs_human_input", "needs_input", "waiting_for_human"),
    Status.STUCK: ("stuck", *BLOCKED),
    Status.ARCHIVED: (
        "archived", "cancelled", "canceled", "deprecated", "obsolete", "wontfix", "wont_fix", "won_t_fix",
        "wont_do", "rejected", "dropped", "removed", "superseded", "not_applicable",
    ),
}  # fmt: skip
STATUS_WORDS: Final = {word: status for status, words in _STATUS_WORDS.items() for word in words}

MEDIUM: Final = 3
_PRIORITY_WORDS: Final = {
    1: ("critical", "urgent", "highest", "blocker", "p0", "must", "must_have"),
    2: ("high", "major", "important", "p1", "should", "should_have"),
    MEDIUM: ("medium", "normal", "moderate", "mid", "p2", "could", "could_have"),
    4: ("low", "minor", "p3", "nice_to_have"),
    5: ("lowest", "trivial", "optional", "p4"),
}
PRIORITY_WORDS: Final = {word: number for number, words in _PRIORITY_WORDS.items() for word in words}

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_GAP = re.compile(r"[\W_]+")


def snake(word: str) -> str:
    """Return the snake-case form of a name or word: `depends_on` for `dependsOn`, `in_progress` for `✅ In-Progress`."""
    if word.isascii() and word.isalpha() and word.islower():
        return word
    return _GAP.sub("_", _HUMP.sub("_", word)).strip("_").casefold()
