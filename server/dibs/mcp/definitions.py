"""The definitions of tools as clients list them, made from the table of operations.

Schemas are as small as they can be: clients send them to a model with every turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from mcp.types import Tool, ToolAnnotations
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import WithDefaultSchema

from dibs_schema.answers import Answer
from dibs_schema.operations import AnyOperation, adapter, offered
from dibs_schema.refusals import all_codes
from dibs_schema.roles import Role


def definitions(role: Role) -> list[Tool]:
    """The definitions of a role's tools, in a fixed order."""
    return [definition(operation, role) for operation in offered(role)]


def definition(operation: AnyOperation, role: Role) -> Tool:
    """The definition of one tool for a role."""
    parameters = input_schema(operation.arguments)
    if not role.plans:
        for name in operation.planner_only:
            del parameters["properties"][name]
    return Tool(
        name=operation.tool,
        title=operation.title,
        description=operation.description,
        input_schema=parameters,
        output_schema=output_schema(operation.answers),
        annotations=_hints(operation),
        _meta={"anthropic/alwaysLoad": True} if operation.preloaded else None,
    )


def _hints(operation: AnyOperation) -> ToolAnnotations:
    """The hints about a tool; the protocol gives the others no meaning for one that only reads."""
    if operation.reads:
        return ToolAnnotations(read_only_hint=True)
    return ToolAnnotations(destructive_hint=operation.destroys, idempotent_hint=operation.repeatable or None)


class _WithoutDefaults(GenerateJsonSchema):
    """Spares the work of writing down defaults, which `_slim` would drop."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


TOLD_LENGTH = 12
TOLD_NUMBER = 1_000_000
"""Bounds above these are enforced, and not worth a model's attention."""


def input_schema(arguments: type[Any]) -> dict[str, Any]:
    """A tool's parameters: no titles, no null alternatives, definitions in their place."""
    schema = adapter(arguments).json_schema(by_alias=True, schema_generator=_WithoutDefaults)
    definitions = schema.pop("$defs", {})
    slim = _slim(schema, definitions)
    assert isinstance(slim, dict)
    return slim


def output_schema(answers: Sequence[type[Answer]]) -> dict[str, Any]:
    """One of the answers, or a refusal.

    Errors are in it, since some clients hide an error whose structured content does not fit the schema.
    """
    refusal = {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "code": {"enum": list(all_codes())},
                    "message": {"type": "string"},
                    "retryable": {"type": "boolean"},
                },
                "required": ["code", "message", "retryable"],
            }
        },
        "required": ["error"],
    }
    return {"type": "object", "anyOf": [*(_answer_schema(one) for one in answers), refusal]}


@cache
def _answer_schema(answer: type[Answer]) -> dict[str, Any]:
    schema = answer.model_json_schema(mode="serialization", schema_generator=_WithoutDefaults)
    definitions = schema.pop("$defs", {})
    slim = _slim(schema, definitions)
    assert isinstance(slim, dict)
    return slim


def _slim(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_slim(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        referred = definitions[schema["$ref"].removeprefix("#/$defs/")]
        return _slim({**referred, **{name: value for name, value in schema.items() if name != "$ref"}}, definitions)
    if "anyOf" in schema:
        others = [one for one in schema["anyOf"] if one != {"type": "null"}]
        if len(others) < len(schema["anyOf"]):
            rest = {name: value for name, value in schema.items() if name != "anyOf"}
            return _slim({**others[0], **rest} if len(others) == 1 else {"anyOf": others, **rest}, definitions)
    return {
        name: {key: _slim(one, definitions) for key, one in value.items()}
        if name == "properties"
        else _slim(value, definitions)
        for name, value in schema.items()
        if not _is_spared(schema, name, value)
    }


def _is_spared(schema: dict[str, Any], name: str, value: Any) -> bool:
    """Whether a model can do without it: titles, defaults, a class's docstring, and most bounds.

    Everything spared is enforced all the same, and the refusal tells what a sensible call never meets.
    """
    match name:
        case "title" | "pattern" | "minLength" | "default" | "propertyNames":
            return True
        case "additionalProperties":
            return value is False
        case "description":
            return _is_model(schema)
        case "maxLength" | "maxItems":
            return int(value) > TOLD_LENGTH
        case "minimum" | "maximum" | "minItems":
            return bool(abs(value) > TOLD_NUMBER or value == 1)
        case _:
            return False


def _is_model(schema: dict[str, Any]) -> bool:
    """Whether it came from a class, whose docstring is for readers of the code."""
    return schema.get("type") == "object" and "properties" in schema
