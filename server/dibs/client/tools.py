"""Which method of a `Backlog` calls which tool."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A method and its tool; `repeatable` where the same call again has no further effect."""

    method: str
    tool: str
    repeatable: bool = False


TOOLS: tuple[Row, ...] = (
    Row("take", "feature_claim_and_get"),
    Row("mark_in_progress", "feature_mark_in_progress"),
    Row("heartbeat", "feature_heartbeat"),
    Row("release", "feature_clear_in_progress", repeatable=True),
    Row("mark_passing", "feature_mark_passing", repeatable=True),
    Row("mark_failing", "feature_mark_failing"),
    Row("skip", "feature_skip"),
    Row("ask_person", "feature_request_human_input"),
    Row("answer_person", "feature_answer_human_input", repeatable=True),
    Row("ask_user", "ask_user"),
    Row("add_note", "feature_add_note"),
    Row("take_for_regression", "feature_get_for_regression"),
    Row("create", "feature_create"),
    Row("create_many", "feature_create_bulk"),
    Row("update", "feature_update", repeatable=True),
    Row("add_dependency", "feature_add_dependency", repeatable=True),
    Row("remove_dependency", "feature_remove_dependency", repeatable=True),
    Row("set_dependencies", "feature_set_dependencies", repeatable=True),
    Row("get", "feature_get_by_id", repeatable=True),
    Row("summaries", "feature_get_summary", repeatable=True),
    Row("search", "feature_search", repeatable=True),
    Row("ready", "feature_get_ready", repeatable=True),
    Row("blocked", "feature_get_blocked", repeatable=True),
    Row("graph", "feature_get_graph", repeatable=True),
    Row("history", "feature_get_history", repeatable=True),
    Row("stats", "feature_get_stats", repeatable=True),
)

OF_TOOL = {row.tool: row for row in TOOLS}
