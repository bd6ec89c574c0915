"""How each tool is said in a shell: its command, its parameters, its roles; and refusals in those words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dibs_schema.refusals import Forbidden, Refusal
from dibs_schema.roles import Role

C, T, P, V = Role.CODER, Role.TESTER, Role.PLANNER, Role.VIEWER
EVERYONE = (C, T, P, V)


@dataclass(frozen=True, slots=True)
class Spelling:
    """A tool as a command: what is typed behind `dibs`, how each parameter is given, and who may."""

    command: str
    roles: tuple[Role, ...]
    parameters: Mapping[str, str] = field(default_factory=dict)


_ID = {"feature_id": "FEATURE_ID"}
_CLAIM = {**_ID, "claim_token": "--token"}
_PAGE = {"limit": "--limit", "cursor": "--cursor"}
_TEXTS = {
    "category": "--category",
    "name": "--name",
    "description": "--description",
    "steps": "--step",
    "priority": "--priority",
    "paths": "--path",
}

SPELLINGS: Mapping[str, Spelling] = {
    "feature_claim_and_get": Spelling(
        "claim",
        (C,),
        {
            **_ID,
            "category": "--category",
            "wait_seconds": "--wait",
            "agent": "--agent",
            "resume": "--resume",
            "request_id": "--request-id",
        },
    ),
    "feature_mark_in_progress": Spelling("claim --brief", (C,), {**_ID, "agent": "--agent"}),
    "feature_heartbeat": Spelling("heartbeat", (C,), {**_CLAIM, "note": "--note"}),
    "feature_clear_in_progress": Spelling("release", (C, P), {**_CLAIM, "force": "--force"}),
    "feature_mark_passing": Spelling("pass", (C, T), {**_CLAIM, "evidence": "--evidence"}),
    "feature_mark_failing": Spelling("fail", (C, T), {**_CLAIM, "reason": "REASON"}),
    "feature_skip": Spelling("skip", (C,), {**_CLAIM, "reason": "REASON"}),
    "feature_request_human_input": Spelling(
        "ask", (C,), {**_CLAIM, "prompt": "PROMPT", "fields": "--fields"}
    ),
    "feature_answer_human_input": Spelling(
        "answer", (P,), {**_ID, "question_id": "--question", "answers": "--set", "cancel": "--cancel"}
    ),
    "ask_user": Spelling("ask-user", (C, P), {"questions": "--questions", "question_id": "--read"}),
    "feature_add_note": Spelling("note", (C, T, P), {**_ID, "text": "TEXT"}),
    "feature_get_for_regression": Spelling("regression", (T,), {"limit": "--limit"}),
    "feature_create": Spelling(
        "add",
        (P, C),
        {**_TEXTS, "name": "NAME", "dependencies": "--depends-on", "request_id": "--request-id"},
    ),
    "feature_create_bulk": Spelling("plan", (P,), {"features": "FEATURES", "request_id": "--request-id"}),
    "feature_update": Spelling(
        "update",
        (P,),
        {**_ID, **_TEXTS, "archived": "--archive/--restore", "retry": "--retry", "confirm": "--confirm"},
    ),
    "feature_add_dependency": Spelling("depend", (P,), {**_ID, "dependency_id": "DEPENDENCY_IDS"}),
    "feature_remove_dependency": Spelling(
        "depend --remove", (P,), {**_ID, "dependency_id": "DEPENDENCY_IDS"}
    ),
    "feature_set_dependencies": Spelling("depend --only", (P,), {**_ID, "dependency_ids": "DEPENDENCY_IDS"}),
    "feature_get_by_id": Spelling("get", EVERYONE, {**_ID, "cursor": "--cursor"}),
    "feature_get_summary": Spelling(
        "summary", EVERYONE, {"feature_id": "FEATURE_IDS", "feature_ids": "FEATURE_IDS"}
    ),
    "feature_search": Spelling(
        "search",
        EVERYONE,
        {
            "text": "TEXT",
            "status": "--status",
            "category": "--category",
            "agent": "--agent",
            "detail": "--detail",
            **_PAGE,
        },
    ),
    "feature_get_ready": Spelling("ready", EVERYONE, _PAGE),
    "feature_get_blocked": Spelling("blocked", EVERYONE, _PAGE),
    "feature_get_graph": Spelling(
        "graph", (P, V), {"root": "--root", "depth": "--depth", "limit": "--limit", "format": "--format"}
    ),
    "feature_get_history": Spelling("history", EVERYONE, {**_ID, **_PAGE}),
    "feature_get_stats": Spelling("stats", EVERYONE, {"by": "--by"}),
}
"""Each tool's command. A test holds this against the tools and the commands: one without the other fails."""

_GIVEN = r"[a-z_]+=(?:true|false|\d+)"
_TOOL = re.compile(rf"\b({'|'.join(sorted(SPELLINGS, key=len, reverse=True))})((?: (?:with )?{_GIVEN})*)")
_ARGUMENT = re.compile(rf"\b{_GIVEN}|\b(?:claim_token|request_id)\b")
_ANYWHERE = {
    name: spelled
    for spelling in SPELLINGS.values()
    for name, spelled in spelling.parameters.items()
    if spelled.startswith("--")
}


def spoken(message: str) -> str:
    """What a message says to an agent, in a shell's words: commands for tools, options for parameters."""
    return _ARGUMENT.sub(
        lambda found: f"`{_argument(_ANYWHERE, found[0])}`",
        _TOOL.sub(lambda found: f"`{_command(found[1], found[2])}`", message),
    )


def in_shell_words(refusal: Refusal) -> Refusal:
    """The same refusal, naming the command that comes next."""
    return type(refusal)(spoken(refusal.message), **refusal.details)


def refuse_role(role: Role, tool: str) -> None:
    """Raise Forbidden where the role has no such tool, and so no such command."""
    if role is Role.ALL or role in SPELLINGS[tool].roles:
        return
    allowed = dict.fromkeys(one.command.split()[0] for one in SPELLINGS.values() if role in one.roles)
    raise Forbidden(
        f"`dibs {SPELLINGS[tool].command}` is not for the role {role.value}, which has {', '.join(allowed)}.",
        tool=tool,
    )


def _command(tool: str, given: str) -> str:
    spelling = SPELLINGS[tool]
    arguments = [_argument(spelling.parameters, one) for one in re.findall(_GIVEN, given)]
    return " ".join(["dibs", spelling.command, *arguments])


def _argument(parameters: Mapping[str, str], given: str) -> str:
    name, _, value = given.partition("=")
    spelled = parameters.get(name, name)
    if not spelled.startswith("--"):
        return value or spelled
    on, _, off = spelled.partition("/")
    if value in ("true", "false"):
        return on if value == "true" else off
    return f"{on} {value}".rstrip()
