"""Completions of the arguments of prompts and of the variables in resource URIs."""

from __future__ import annotations

from mcp.types import CompleteRequestParams, Completion, PromptReference, ResourceTemplateReference

from dibs.mcp.prompts import prompts
from dibs.mcp.resources import read
from dibs.queries.suggestions import MOST, complete_category, complete_id
from dibs.session.session import Session
from dibs_schema.refusals import InvalidInput, NotFound
from dibs_schema.roles import Role


async def complete(session: Session, role: Role, params: CompleteRequestParams) -> Completion:
    """Return up to a hundred values. Raises NotFound and InvalidInput for an unknown prompt, URI or argument."""
    argument = _known(role, params)
    typed = params.argument.value.strip()
    if argument not in ("id", "feature_id", "category") or len(typed) > 100:
        return Completion(values=[])
    matching = complete_category if argument == "category" else complete_id
    values = [str(one) for one in await session.database.read(lambda tx: matching(tx, typed))]
    return Completion(values=values, has_more=len(values) == MOST)


def _known(role: Role, params: CompleteRequestParams) -> str:
    """Return the name of the argument. Raises NotFound and InvalidInput if it is unknown."""
    match params.ref:
        case PromptReference(name=name):
            known = [one.name for one in prompts.find(role, name).arguments]
        case ResourceTemplateReference(uri=uri):
            if uri not in read.PARAMETERS:
                raise NotFound(f"There is no such template. The templates are {', '.join(read.PARAMETERS)}.")
            known = list(read.PARAMETERS[uri])
    if params.argument.name not in known:
        listed = ", ".join(known) or "no arguments"
        raise InvalidInput(f"There is no such argument. It takes {listed}.", field="argument.name")
    return params.argument.name
