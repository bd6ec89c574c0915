"""Which tools there are, for whom, and what their definitions say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata, func_metadata
from mcp.types import CallToolResult, InputRequiredResult, ToolAnnotations

from dibs.mcp.results import result
from dibs.mcp.schemas import input_schema, output_schema
from dibs.mcp.tools import claim, people, planning, reading
from dibs_schema.answers import Answer
from dibs_schema.roles import Role

C, T, P, V = Role.CODER, Role.TESTER, Role.PLANNER, Role.VIEWER
EVERYONE = (C, T, P, V)


@dataclass(frozen=True, slots=True)
class Entry:
    """One tool: its function, its title, who has it, and what is true of it.

    `hot` tools are loaded by clients that show only names at first. Of the parameters, those `of_planners`
    are told only to the roles that plan; the tool itself judges what others send.
    """

    function: Callable[..., Awaitable[Answer | InputRequiredResult]]
    title: str
    roles: tuple[Role, ...]
    reads: bool = False
    destroys: bool = False
    repeatable: bool = False
    hot: bool = False
    of_planners: tuple[str, ...] = ()


# What is repeatable has, called again with the same arguments, no further effect.
CATALOGUE: tuple[Entry, ...] = (
    Entry(claim.feature_claim_and_get, "Claim a feature", (C,), hot=True),
    Entry(claim.feature_mark_in_progress, "Claim a known feature", (C,)),
    Entry(claim.feature_heartbeat, "Keep a claim", (C,)),
    Entry(
        claim.feature_clear_in_progress,
        "Give a claim back",
        (C, P),
        repeatable=True,
        of_planners=("force",),
    ),
    Entry(claim.feature_mark_passing, "Pass a feature", (C, T), repeatable=True, hot=True),
    Entry(claim.feature_mark_failing, "Fail a feature", (C, T), hot=True),
    Entry(claim.feature_skip, "Skip a feature", (C,)),
    Entry(people.feature_request_human_input, "Ask a person", (C,)),
    Entry(people.feature_answer_human_input, "Answer a request", (P,), repeatable=True),
    Entry(people.ask_user, "Ask the user", (C, P)),
    Entry(claim.feature_add_note, "Add a note", (C, T, P)),
    Entry(reading.feature_get_for_regression, "Take features to test again", (T,)),
    Entry(planning.feature_create, "Add a feature", (P, C), of_planners=("paths",)),
    Entry(planning.feature_create_bulk, "Add many features", (P,)),
    Entry(planning.feature_update, "Change a feature", (P,), destroys=True, repeatable=True),
    Entry(planning.feature_add_dependency, "Add a dependency", (P,), repeatable=True),
    Entry(planning.feature_remove_dependency, "Remove a dependency", (P,), destroys=True, repeatable=True),
    Entry(planning.feature_set_dependencies, "Set dependencies", (P,), destroys=True, repeatable=True),
    Entry(reading.feature_get_by_id, "Read a feature", EVERYONE, reads=True),
    Entry(reading.feature_get_summary, "Summarise features", EVERYONE, reads=True),
    Entry(reading.feature_search, "Find features", EVERYONE, reads=True),
    Entry(reading.feature_get_ready, "What is ready", EVERYONE, reads=True),
    Entry(reading.feature_get_blocked, "What is blocked", EVERYONE, reads=True),
    Entry(reading.feature_get_graph, "Dependency graph", (P, V), reads=True),
    Entry(reading.feature_get_history, "History", EVERYONE, reads=True),
    Entry(reading.feature_get_stats, "Progress", EVERYONE, reads=True),
)


class StrictMetadata(FuncMetadata):
    """Validates the arguments that were sent, and answers in both channels.

    The SDK's own pre-parsing would turn the text "null" into nothing and refuse "[1,2]" as a text;
    here an argument type that accepts JSON text says so itself.
    """

    def pre_parse_json(self, data: dict[str, Any]) -> dict[str, Any]:
        """The arguments as they came."""
        return data

    def convert_result(self, result_: Any) -> CallToolResult | InputRequiredResult:
        """An answer in both channels; a request for input as it is."""
        return result_ if isinstance(result_, InputRequiredResult) else result(result_.wire())


def build(role: Role) -> dict[str, Tool]:
    """The tools of a role by name, in a fixed order."""
    return {entry.function.__name__: _tool(entry, role) for entry in CATALOGUE if _has(role, entry)}


def offered(role: Role) -> set[str]:
    """The names of a role's tools."""
    return {entry.function.__name__ for entry in CATALOGUE if _has(role, entry)}


def _has(role: Role, entry: Entry) -> bool:
    return role is Role.ALL or role in entry.roles


def names() -> list[str]:
    """Every tool's name."""
    return [entry.function.__name__ for entry in CATALOGUE]


def _tool(entry: Entry, role: Role) -> Tool:
    function = entry.function
    loose = func_metadata(function, skip_names=["ctx"], structured_output=False)
    strict = type(loose.arg_model.__name__, (loose.arg_model,), {"__module__": __name__}, extra="forbid")
    assert issubclass(strict, ArgModelBase)
    parameters = input_schema(strict)
    if not role.plans:
        for name in entry.of_planners:
            del parameters["properties"][name]
    return Tool(
        fn=function,
        name=function.__name__,
        title=entry.title,
        description=" ".join((function.__doc__ or "").split()),
        parameters=parameters,
        fn_metadata=StrictMetadata(arg_model=strict, output_schema=output_schema(_answers(function))),
        is_async=True,
        context_kwarg="ctx",
        annotations=_hints(entry),
        meta={"anthropic/alwaysLoad": True} if entry.hot else None,
    )


def _hints(entry: Entry) -> ToolAnnotations:
    """What is true of the tool; of one that only reads, the protocol gives the other hints no meaning."""
    if entry.reads:
        return ToolAnnotations(read_only_hint=True)
    return ToolAnnotations(destructive_hint=entry.destroys, idempotent_hint=entry.repeatable or None)


def _answers(function: Callable[..., Any]) -> list[type[Answer]]:
    returned = get_type_hints(function)["return"]
    return [one for one in get_args(returned) or (returned,) if issubclass(one, Answer)]
