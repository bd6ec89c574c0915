"""What callers send: each argument's type, its bounds, and the words that describe it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from dibs_schema.status import Status
from dibs_schema.text import clean

GREATEST_ID = 2**31 - 1


def _cleaned(value: Any) -> Any:
    return clean(value).strip() if isinstance(value, str) else value


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic turns ValueError into its own
    return value


def _from_json(value: Any) -> Any:
    """Arrays and objects may arrive as JSON text: some clients send every argument so."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


CLEAN = BeforeValidator(_cleaned)
WHOLE = BeforeValidator(_number)
FROM_JSON = BeforeValidator(_from_json)

FeatureId = Annotated[int, WHOLE, Field(ge=1, le=GREATEST_ID)]
Index = Annotated[int, WHOLE, Field(ge=0, le=999)]
Agent = Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=100)]
Token = Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=20, to_lower=True)]
RequestId = Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=100)]
Category = Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=100)]
Name = Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=255)]
Description = Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=20_000)]
Step = Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=2_000)]
Reason = Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=2_000)]
Note = Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=2_000)]
Cursor = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Wait = Annotated[float, WHOLE, Field(ge=0, le=45)]
Priority = Annotated[int, WHOLE, Field(ge=-1_000_000_000, le=1_000_000_000)]
Steps = Annotated[list[Step], FROM_JSON, Field(min_length=1, max_length=100)]
FeatureIds = Annotated[list[FeatureId], FROM_JSON, Field(max_length=100)]
StatusName = Literal["pending", "in_progress", "passing", "needs_human", "stuck", "archived"]
assert set(get_args(StatusName)) == set(Status)


class Input(BaseModel):
    """An object argument: unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CommandRun(Input):
    """A command that was run as proof."""

    command: Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=500)]
    exit_code: Annotated[int, WHOLE, Field(ge=-(2**31), le=2**32)]


class EvidenceFields(Input):
    """What shows that a feature works."""

    summary: Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=2_000)] | None = None
    commands: Annotated[list[CommandRun], FROM_JSON, Field(max_length=20)] = []
    commit: Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=100)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> EvidenceFields:
        if not (self.summary or self.commands or self.commit):
            raise ValueError("give a summary, commands or a commit")
        return self


def _evidence(value: Any) -> Any:
    value = _from_json(value)
    return {"summary": value} if isinstance(value, str) else value


Evidence = Annotated[EvidenceFields, BeforeValidator(_evidence)]


def _choice(value: Any) -> Any:
    return {"label": value} if isinstance(value, str) else value


class HumanField(Input):
    """One thing that a person is asked for."""

    id: Annotated[str, CLEAN, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    label: Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=200)]
    type: Literal["text", "textarea", "select", "boolean"] = "text"
    options: Annotated[
        list[Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=200)]],
        FROM_JSON,
        Field(max_length=20),
    ] = []
    required: bool = True

    @model_validator(mode="after")
    def _a_select_has_options(self) -> HumanField:
        if (self.type == "select") != bool(self.options):
            raise ValueError("a select needs options, and only a select has them")
        return self


HumanFields = Annotated[list[HumanField], FROM_JSON, Field(min_length=1, max_length=10)]
Answers = Annotated[dict[str, str | bool | list[str]], FROM_JSON, Field(min_length=1, max_length=20)]


class Option(Input):
    """One answer to choose."""

    label: Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=100)]
    description: Annotated[str, CLEAN, StringConstraints(max_length=300)] | None = None


class Question(Input):
    """A multiple-choice question to the user."""

    question: Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=500)]
    header: Annotated[str, CLEAN, StringConstraints(min_length=1, max_length=12)]
    options: Annotated[
        list[Annotated[Option, BeforeValidator(_choice)]],
        FROM_JSON,
        Field(min_length=2, max_length=4),
    ]
    multiSelect: bool = False  # noqa: N815 - the name that agents' own question tools use


Questions = Annotated[list[Question], FROM_JSON, Field(min_length=1, max_length=4)]


class NewFeature(Input):
    """A feature to be created."""

    category: Category
    name: Name
    description: Description
    steps: Steps
    priority: Priority | None = None
    dependencies: FeatureIds = []
    depends_on_indices: Annotated[list[Index], FROM_JSON, Field(max_length=100)] = []


NewFeatures = Annotated[list[NewFeature], FROM_JSON, Field(min_length=1, max_length=1_000)]
