"""Completions: what could stand for an argument of a prompt or a part of a resource's address."""

from __future__ import annotations

from mcp.types import (
    CompleteRequestParams,
    Completion,
    PromptReference,
    ResourceTemplateReference,
)

from dibs.database.transaction import Transaction
from dibs.mcp.prompts import prompts
from dibs.mcp.resources import read
from dibs.queries.search import MOST, complete_category, complete_id
from dibs.session.session import Session
from dibs_schema.refusals import InvalidInput, NotFound
from dibs_schema.roles import Role

LONGEST = 100
"""Characters that are looked for; nothing that could be completed is longer."""


async def complete(here: Session, role: Role, params: CompleteRequestParams) -> Completion:
    """Up to a hundred values. Raises NotFound and InvalidInput for what takes no such argument."""
    argument = _known(role, params)
    typed = params.argument.value.strip()
    if argument not in ("id", "feature_id", "category") or len(typed) > LONGEST:
        return Completion(values=[])

    def look(tx: Transaction) -> list[str]:
        if argument == "category":
            return complete_category(tx, typed)
        return [str(one) for one in complete_id(tx, typed)]

    values = await here.database.read(look)
    return Completion(values=values, has_more=len(values) == MOST)


def _known(role: Role, params: CompleteRequestParams) -> str:
    """The name of the argument, which what is referred to takes."""
    match params.ref:
        case PromptReference(name=name):
            takes = [one.name for one in prompts.find(role, name).arguments]
        case ResourceTemplateReference(uri=uri):
            takes = _of_template(uri)
    if params.argument.name not in takes:
        known = ", ".join(takes) or "no arguments"
        raise InvalidInput(f"There is no such argument. It takes {known}.", field="argument.name")
    return params.argument.name


def _of_template(uri: str) -> list[str]:
    for template, takes in read.PARAMETERS.items():
        if uri == template:
            return list(takes)
    raise NotFound(f"There is no such template. There are {', '.join(read.PARAMETERS)}.")
