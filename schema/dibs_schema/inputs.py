"""The arguments that callers send: their types, bounds and descriptions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from dibs_schema.file_areas import MOST_PATHS, path_of, paths_of
from dibs_schema.lenient_input import without_empty, without_unknown
from dibs_schema.object_lists import Objects
from dibs_schema.refusals import InvalidInput
from dibs_schema.sanitize import clean
from dibs_schema.status import Status
from dibs_schema.validation import first_problem
from dibs_schema.validation import path_of as argument_path

GREATEST_ID = 2**31 - 1


def _cleaned(value: Any) -> Any:
    return clean(value).strip() if isinstance(value, str) else value


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic turns ValueError into its own
    return value


def _key(value: Any) -> Any:
    """Convert a number to the key that it spells."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def from_json(value: Any) -> Any:
    """Parse an array or object that arrives as JSON text, as some clients send every argument."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


CLEAN = BeforeValidator(_cleaned)
WHOLE = BeforeValidator(_number)
FROM_JSON = BeforeValidator(from_json)

FeatureId = Annotated[int, Field(ge=1, le=GREATEST_ID), WHOLE]
Index = Annotated[int, Field(ge=0, le=999), WHOLE]
Agent = Annotated[str, StringConstraints(min_length=1, max_length=100), CLEAN]
Token = Annotated[str, StringConstraints(min_length=1, max_length=20, to_lower=True), CLEAN]
RequestId = Annotated[str, StringConstraints(min_length=1, max_length=100), CLEAN]
Category = Annotated[str, StringConstraints(min_length=1, max_length=100), CLEAN]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255), CLEAN]
Description = Annotated[str, StringConstraints(min_length=1, max_length=20_000), CLEAN]
Step = Annotated[str, StringConstraints(min_length=1, max_length=2_000), CLEAN]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=2_000), CLEAN]
Note = Annotated[str, StringConstraints(min_length=1, max_length=2_000), CLEAN]
Key = Annotated[str, StringConstraints(min_length=1, max_length=100), CLEAN, BeforeValidator(_key)]
Cursor = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Wait = Annotated[float, Field(ge=0, le=45), WHOLE]
Priority = Annotated[int, Field(ge=-1_000_000_000, le=1_000_000_000), WHOLE]
Steps = Annotated[list[Step], Field(min_length=1, max_length=100), FROM_JSON]
PathGlob = Annotated[str, AfterValidator(path_of)]
Paths = Annotated[list[PathGlob], Field(max_length=MOST_PATHS), AfterValidator(paths_of), FROM_JSON]
PATHS = "globs of files it changes, as src/**/*.py from the repository's root; two on one file are not claimed together"
PRIORITY = "lower first; default last"
FeatureIds = Annotated[list[FeatureId], Field(max_length=100), FROM_JSON]
Several = Annotated[list[FeatureId], Field(min_length=1, max_length=50), FROM_JSON]
Ten = Annotated[int, Field(ge=1, le=10), WHOLE]
Fifty = Annotated[int, Field(ge=1, le=50), WHOLE]
Hundred = Annotated[int, Field(ge=1, le=100), WHOLE]
Depth = Annotated[int, Field(ge=0, le=50), WHOLE]
StatusName = Literal["pending", "in_progress", "passing", "needs_human", "stuck", "archived"]
assert set(get_args(StatusName)) == set(Status)


class Input(BaseModel):
    """An object argument: optional fields that are empty count as absent, as `read_arguments` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out(cls, given: Any, info: ValidationInfo) -> Any:
        if not isinstance(given, dict):
            return given
        return without_empty(without_unknown(given, cls.model_fields, info.context), cls._optional())

    @classmethod
    @cache
    def _optional(cls) -> frozenset[str]:
        return frozenset(name for name, one in cls.model_fields.items() if not one.is_required())


def _label(value: Any) -> Any:
    """Take an option with a value and a label, as forms have it, by its label."""
    return value.get("label", value.get("value")) if isinstance(value, dict) else value


def _choice(value: Any) -> Any:
    return {"label": value} if isinstance(value, str) else value


class HumanField(Input):
    """One thing that a person is asked for."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$"), CLEAN]
    label: Annotated[str, StringConstraints(min_length=1, max_length=200), CLEAN]
    type: Literal["text", "textarea", "select", "boolean"] = "text"
    options: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=200), CLEAN, BeforeValidator(_label)]],
        Field(max_length=20),
        FROM_JSON,
    ] = []
    required: bool = True

    @model_validator(mode="after")
    def _a_select_has_options(self) -> HumanField:
        if (self.type == "select") != bool(self.options):
            raise ValueError("a select needs options, and only a select has them")
        return self


HumanFields = Annotated[Objects[HumanField], Field(min_length=1, max_length=10), FROM_JSON]
LONGEST_ANSWER = 5_000


def _reply(value: Any) -> Any:
    """Check an answer to a person's question; a union of types would put a type's name into a refusal's path."""
    texts = value if isinstance(value, list) else [value]
    if isinstance(value, bool):
        return value
    if len(texts) > 20 or not all(isinstance(one, str) for one in texts):
        raise ValueError("answer with a string, true or false, or a list of at most 20 strings")
    if any(len(one) > LONGEST_ANSWER for one in texts):
        raise ValueError(f"at most {LONGEST_ANSWER:,} characters")
    return [_cleaned(one) for one in texts] if isinstance(value, list) else _cleaned(value)


_REPLY_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "boolean"}, {"type": "array", "items": {"type": "string"}}]}
Reply = Annotated[Any, BeforeValidator(_reply), WithJsonSchema(_REPLY_SCHEMA)]
Answers = Annotated[
    dict[Annotated[str, StringConstraints(max_length=100)], Reply], Field(min_length=1, max_length=20), FROM_JSON
]


def checked_answers(given: dict[str, Any]) -> dict[str, Any]:
    """Clean and check answers that did not arrive as a tool's arguments. Raises InvalidInput, which names the answer."""
    checked: dict[str, Any] = {}
    for name, value in given.items():
        try:
            checked[name] = _reply(value)
        except ValueError as error:
            raise InvalidInput(f"answers.{name[:60]}: {error}.", field=f"answers.{name[:60]}") from None
    return checked


class Option(Input):
    """One answer to choose."""

    label: Annotated[str, StringConstraints(min_length=1, max_length=100), CLEAN]
    description: Annotated[str, StringConstraints(max_length=300), CLEAN] | None = None


class Question(Input):
    """A multiple-choice question to the user."""

    question: Annotated[str, StringConstraints(min_length=1, max_length=500), CLEAN]
    header: Annotated[str, StringConstraints(min_length=1, max_length=12), CLEAN]
    options: Annotated[list[Annotated[Option, BeforeValidator(_choice)]], Field(min_length=2, max_length=4), FROM_JSON]
    multiSelect: bool = False  # noqa: N815 - the name that agents' own question tools use


Questions = Annotated[Objects[Question], Field(min_length=1, max_length=4), FROM_JSON]


class NewFeature(Input):
    """A feature to be created."""

    category: Category
    name: Name
    description: Description
    steps: Steps
    priority: Annotated[Priority | None, Field(description=PRIORITY)] = None
    dependencies: FeatureIds = []
    depends_on_indices: Annotated[list[Index], Field(max_length=100), FROM_JSON] = []
    paths: Annotated[Paths, Field(description=PATHS)] = []
    passes: SkipJsonSchema[bool] = False
    key: Key | None = None
    depends_on: Annotated[list[Key], Field(max_length=100), FROM_JSON] = []


@dataclass(frozen=True, slots=True)
class InvalidEntry:
    """An entry of a batch that is not valid, if the valid ones are to be created. `problem` follows its path."""

    problem: str


def _entry(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    try:
        return handler(value)
    except ValidationError as error:
        if info.context is None or not info.context.partial:
            raise
        place, _, message = first_problem(error)
        return InvalidEntry(f"{'.' if place else ''}{argument_path(place)}: {message}.")


if TYPE_CHECKING:
    Entry = NewFeature | InvalidEntry
else:
    Entry = Annotated[NewFeature, WrapValidator(_entry)]
NewFeatures = Annotated[Objects[Entry], Field(min_length=1, max_length=1_000), FROM_JSON]
