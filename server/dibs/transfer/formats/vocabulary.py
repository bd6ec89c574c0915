"""The field names and status words of public feature lists, in snake case, and their meaning in Dibs."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from dibs_schema.status import Status

# fmt: off
CONTAINERS: Final = (
    "features", "feature_list", "tasks", "items", "stories", "user_stories", "backlog", "todos", "requirements",
    "issues", "tickets", "work_items",
)
GROUPS: Final = (
    "phases", "epics", "categories", "milestones", "modules", "sprints", "groups", "areas", "sections", "weeks", "waves",
    "stages",
)
PHASE_GROUPS: Final = ("phases", "milestones", "sprints", "weeks", "waves", "stages")
"""The groups that follow one after the other."""
GROUP_NAMES: Final = ("name", "title", "category", "epic", "phase", "milestone", "week", "wave", "sprint", "id")
SOURCES: Final = ("source", "branch_name", "branch", "tag")
"""What the ids of a file belong to, by the names of its outer fields."""

IDS: Final = ("id", "feature_id", "task_id", "story_id", "key")
NAMES: Final = ("title", "name")
SPARE_NAMES: Final = (
    "summary", "feature_name", "task", "story", "subject", "content", "text", "todo", "requirement", "objective", "goal",
)
DESCRIPTIONS: Final = (
    "description", "user_visible_behavior", "behavior", "behaviour", "summary", "story", "content", "text", "requirement",
    "objective", "goal",
)
DETAILS: Final = ("details",)
CATEGORIES: Final = ("category",)
SPARE_CATEGORIES: Final = ("area", "component", "epic", "module", "feature", "type", "group", "phase")
PHASES: Final = ("phase", "milestone", "week", "wave", "sprint", "stage", "iteration")
STEPS: Final = (
    "steps", "done_criteria", "acceptance_criteria", "acceptance", "test_steps", "verification", "verification_steps",
    "verification_command", "test_strategy", "subtasks", "sub_tasks", "acceptance_tests", "tests", "test_cases", "verify",
    "criteria", "success_criteria", "definition_of_done", "done_when", "checks", "requirements",
)
DEPENDENCIES: Final = ("dependencies", "depends_on")
BLOCKERS: Final = ("blocked_by",)
DEPENDENCY_INDICES: Final = ("depends_on_indices",)
NOTHING: Final = ("", "none", "n/a", "na", "nil", "null", "no", "nothing", "-", "—", "tbd")
PRIORITIES: Final = ("priority",)
PATHS: Final = ("paths", "files", "target_files", "files_to_modify", "files_to_change", "files_to_create")
NOTES: Final = ("notes", "note", "context", "implementation_notes")
STATUSES: Final = ("status", "state")
FLAGS: Final = (
    "passes", "passed", "passing", "done", "completed", "complete", "is_done", "is_complete", "finished", "implemented",
    "verified", "deployed", "accepted", "shipped",
)
HUMAN_FLAGS: Final = ("needs_human_input", "needs_human")
PROGRESS_FLAGS: Final = ("in_progress",)
BLOCKED_FLAGS: Final = ("blocked", "is_blocked")
EVIDENCE: Final = ("evidence", "verification_evidence", "proof", "verified_via")
FAILURES: Final = ("last_failure", "failure_reason", "last_error", "error", "blocked_reason", "block_reason")
REQUESTS: Final = ("human_input_request", "human_request")
ANSWERS: Final = ("human_input_response", "human_answer")

STEP_TITLES: Final = ("title", "name")
STEP_TEXTS: Final = ("text", "description", "step", "action", "criterion", "instruction", "content", "command", "check")
STEP_PARTS: Final = (
    ("given", "Given {}"), ("when", "When {}"), ("then", "Then {}"), ("expected", "Expected: {}"),
    ("expected_result", "Expected: {}"),
)
STEP_STATES: Final = ("status", "state", "result", "updated_at", "created_at", "id", "type")
# fmt: on

BOOLEANS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

IN_PROGRESS: Final = (
    "in_progress",
    "inprogress",
    "doing",
    "wip",
    "started",
    "active",
    "working",
    "claimed",
    "ongoing",
    "hooked",
    "进行中",
    "進行中",
    "作業中",
    "진행중",
    "진행_중",
    "en_progreso",
    "en_curso",
    "em_andamento",
    "en_cours",
    "in_arbeit",
    "in_corso",
    "в_работе",
)
BLOCKED: Final = (
    "blocked",
    "on_hold",
    "waiting",
    "已阻塞",
    "阻塞",
    "ブロック中",
    "bloqueado",
    "bloqueada",
    "bloqué",
    "bloquée",
    "blockiert",
    "bloccato",
    "заблокировано",
)
_STATUS_WORDS: Final = {
    Status.PASSING: (
        "pass", "passed", "passes", "passing", "done", "complete", "completed", "verified", "finished",
        "closed", "shipped", "released", "merged", "ok", "success", "succeeded", "implemented", "deployed", "live",
        "accepted", "approved", "resolved", "fixed", "x", "已完成", "完成", "完了", "済", "완료", "완료됨", "hecho", "hecha",
        "completado", "completada", "terminado", "terminada", "listo", "feito", "concluído", "concluída", "fait",
        "terminé", "terminée", "fini", "erledigt", "fertig", "abgeschlossen", "fatto", "completato", "готово", "сделано",
        "выполнено",
    ),
    Status.PENDING: (
        "pending", "todo", "to_do", "open", "new", "ready", "planned", "queued", "backlog", "not_started",
        "notstarted", "not_done", "incomplete", "failing", "fail", "failed", "skipped", "skip", "deferred",
        "review", "in_review", "needs_review", "testing", "proposed", "draft", "partial", "parked", "postponed", "later",
        "待办", "待处理", "未开始", "未完成", "未着手", "대기", "pendiente", "por_hacer", "pendente", "a_fazer", "à_faire",
        "offen", "da_fare", "к_выполнению", *IN_PROGRESS,
    ),
    Status.NEEDS_HUMAN: ("needs_human", "needs_human_input", "needs_input", "waiting_for_human"),
    Status.STUCK: ("stuck", *BLOCKED),
    Status.ARCHIVED: (
        "archived", "cancelled", "canceled", "deprecated", "obsolete", "wontfix", "wont_fix", "won_t_fix",
        "wont_do", "won_t_do", "rejected", "dropped", "removed", "superseded", "not_applicable", "abandoned", "tombstone",
        "waived", "duplicate", "已取消", "取消", "キャンセル", "취소", "cancelado", "cancelada", "annulé", "annulée",
        "abgebrochen", "annullato", "отменено",
    ),
}  # fmt: skip
STATUS_WORDS: Final = {word: status for status, words in _STATUS_WORDS.items() for word in words}
SYMBOLS: Final = {
    **dict.fromkeys("✅✔✓☑🟢🎉💯", "done"), **dict.fromkeys("⬜☐🔲❌✗✘🔴🆕⚪", "todo"),
    **dict.fromkeys("🚧🔄⏳🟡🏗", "doing"), **dict.fromkeys("⛔🚫🛑🔒", "blocked"),
}  # fmt: skip
"""The words of symbols that stand alone."""

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


@lru_cache(maxsize=1024)
def snake(word: str) -> str:
    """Return the snake-case form of a name or word: `depends_on` for `dependsOn`, `in_progress` for `✅ In-Progress`."""
    if word.isascii() and word.isalpha() and word.islower():
        return word
    return _GAP.sub("_", _HUMP.sub("_", word)).strip("_").casefold()
