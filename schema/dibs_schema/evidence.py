"""The argument `evidence`: what shows that a feature works, and what an attempt has used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints, model_validator
from pydantic.json_schema import SkipJsonSchema

from dibs_schema.inputs import CLEAN, FROM_JSON, WHOLE, Input, from_json


class CommandRun(Input):
    """A command that was run as proof."""

    command: Annotated[str, StringConstraints(min_length=1, max_length=500), CLEAN]
    exit_code: Annotated[int, Field(ge=-(2**31), le=2**32), WHOLE]


class Usage(Input):
    """What an attempt has used. Input tokens include those that a cache has kept."""

    input_tokens: Annotated[int, Field(ge=0, le=10**15), WHOLE] | None = None
    output_tokens: Annotated[int, Field(ge=0, le=10**15), WHOLE] | None = None
    cost_usd: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False), WHOLE] | None = None
    seconds: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False), WHOLE] | None = None


class EvidenceFields(Input):
    """What shows that a feature works, and what the attempt has used."""

    summary: Annotated[str, StringConstraints(min_length=1, max_length=2_000), CLEAN] | None = None
    commands: Annotated[list[CommandRun], Field(max_length=20), FROM_JSON] = []  # noqa: RUF012 - pydantic copies it
    commit: Annotated[str, StringConstraints(min_length=1, max_length=100), CLEAN] | None = None
    usage: SkipJsonSchema[Usage | None] = None

    @model_validator(mode="after")
    def _is_not_empty(self) -> EvidenceFields:
        if not (self.summary or self.commands or self.commit or self.usage):
            raise ValueError("give a summary, commands, a commit or usage")
        return self


def _evidence(value: Any) -> Any:
    given = from_json(value)
    return {"summary": value} if isinstance(value, str) and not isinstance(given, dict) else given


if TYPE_CHECKING:
    Evidence = EvidenceFields | Mapping[str, Any] | str
    """A string is its summary."""
else:
    Evidence = Annotated[EvidenceFields, BeforeValidator(_evidence)]
