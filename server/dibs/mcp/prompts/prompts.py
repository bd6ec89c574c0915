"""The prompts: what a user starts with one command, and an agent then does with the tools.

Their texts are ours and the user's own arguments, which stand in them as JSON; nothing that an agent wrote
enters them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp.types import GetPromptResult, Prompt, PromptArgument, PromptMessage, TextContent
from pydantic import TypeAdapter, ValidationError

from dibs.mcp.prompts import text
from dibs_schema.inputs import Category, FeatureId, Ten
from dibs_schema.operations import offered
from dibs_schema.refusals import Forbidden, InvalidInput, NotFound
from dibs_schema.roles import Role
from dibs_schema.sanitize import clean
from dibs_schema.validation import first_problem

LONGEST = 8_000
"""Characters of an argument; what is longer is named by its path."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One prompt: what it is called and takes, the tools that it names, and its words for the arguments."""

    name: str
    title: str
    description: str
    arguments: tuple[PromptArgument, ...]
    tools: tuple[str, ...]
    words: Callable[[Mapping[str, Any]], str]


def _argument(name: str, description: str) -> PromptArgument:
    return PromptArgument(name=name, description=description, required=False)


PROMPTS: tuple[Entry, ...] = (
    Entry(
        "plan_backlog",
        "Plan the backlog",
        "Turn a specification into features with dependencies.",
        (_argument("specification", "A path, a link or the text; without it, what was said before"),),
        ("feature_get_stats", "feature_search", "feature_create_bulk", "feature_get_graph"),
        text.plan,
    ),
    Entry(
        "work_next",
        "Build the next feature",
        "Claim the next ready feature, build it, test it and report the outcome.",
        (_argument("category", "Only a feature of this category"),),
        (
            "feature_claim_and_get",
            "feature_mark_passing",
            "feature_mark_failing",
            "feature_request_human_input",
            "feature_add_note",
        ),
        text.work,
    ),
    Entry(
        "verify_passing",
        "Test passing features again",
        "Test the features that were tested longest ago, and reopen those that no longer work.",
        (_argument("limit", "How many features, 1 to 10; 3 without it"),),
        ("feature_get_for_regression", "feature_mark_passing", "feature_mark_failing"),
        text.verify,
    ),
    Entry(
        "triage_stuck",
        "Look after stuck features",
        "Find out why features are stuck, take the cause away and put them back.",
        (_argument("feature_id", "Only this feature"),),
        (
            "feature_search",
            "feature_get_by_id",
            "feature_get_history",
            "feature_update",
            "feature_create",
            "feature_create_bulk",
            "feature_add_dependency",
            "feature_add_note",
            "ask_user",
        ),
        text.triage,
    ),
)

_TAKEN: dict[str, TypeAdapter[Any]] = {
    "category": TypeAdapter(Category),
    "feature_id": TypeAdapter(FeatureId),
    "limit": TypeAdapter(Ten),
}


def prompts_of(role: Role) -> list[Entry]:
    """The prompts whose every tool the role has."""
    tools = {one.tool for one in offered(role)}
    return [one for one in PROMPTS if tools.issuperset(one.tools)]


def listed(role: Role) -> list[Prompt]:
    """The prompts of a role as clients list them."""
    return [
        Prompt(name=one.name, title=one.title, description=one.description, arguments=list(one.arguments))
        for one in prompts_of(role)
    ]


def find(role: Role, name: str) -> Entry:
    """A prompt of the role by its name. Raises NotFound, and Forbidden for another role's."""
    there = {one.name: one for one in prompts_of(role)}
    if name in there:
        return there[name]
    known = f"There are {', '.join(there)}." if there else "This role has none."
    if name in (one.name for one in PROMPTS):
        raise Forbidden(f"The prompt is not for the role {role}. {known}")
    raise NotFound(f"There is no such prompt. {known}")


def render(role: Role, name: str, arguments: Mapping[str, str]) -> GetPromptResult:
    """A prompt's words for the arguments. Raises NotFound, Forbidden and InvalidInput."""
    entry = find(role, name)
    takes = [one.name for one in entry.arguments]
    for given in arguments:
        if given not in takes:
            raise InvalidInput(
                f"{given[:60]}: is not known here. It takes {', '.join(takes)}.", field=given[:60]
            )
    values = {given: _checked(given, text) for given, text in arguments.items()}
    message = TextContent(type="text", text=entry.words(values))
    return GetPromptResult(
        description=entry.description, messages=[PromptMessage(role="user", content=message)]
    )


def _checked(name: str, text: str) -> Any:
    """An argument as it may stand in a prompt; nothing for a blank one, which clients send for one left out."""
    value = clean(text).strip()
    if len(value) > LONGEST:
        raise InvalidInput(
            f"{name}: has more than {LONGEST} characters. Send the path of a file.", field=name
        )
    if not value or name not in _TAKEN:
        return value
    try:
        return _TAKEN[name].validate_python(value)
    except ValidationError as error:
        raise InvalidInput(f"{name}: {first_problem(error)[2]}.", field=name) from None
