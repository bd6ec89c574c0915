"""The definitions of tools as clients list them, built from the table of operations.

Schemas are as small as possible, since clients send them to a model with every turn.
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
    """Return the definitions of a role's tools, in a fixed order."""
    return [definition(operation, role) for operation in offered(role)]


def definition(operation: AnyOperation, role: Role) -> Tool:
    """Return the definition of one tool for a role."""
    parameters = input_schema(operation.arguments)
    for name in operation.hidden_from(role):
        del parameters["properties"][name]
    return Tool(
        name=operation.tool,
        title=operation.title,
        description=operation.description,
        input_schema=parameters,
        output_schema=output_schema(operation.answers),
        annotations=ToolAnnotations(read_only_hint=True)
        if operation.reads  # the protocol gives the other hints no meaning then
        else ToolAnnotations(destructive_hint=operation.destroys, idempotent_hint=operation.repeatable or None),
        _meta={"anthropic/alwaysLoad": True} if operation.preloaded else None,
    )


class _WithoutDefaults(GenerateJsonSchema):
    """Omits defaults: `_compact` would drop them, and serialising them takes time."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def input_schema(arguments: type[Any]) -> dict[str, Any]:
    """Return the schema of a tool's parameters: without titles, null alternatives and references."""
    return _inlined(adapter(arguments).json_schema(by_alias=True, schema_generator=_WithoutDefaults))


def output_schema(answers: Sequence[type[Answer]]) -> dict[str, Any]:
    """Return the schema of one of the answers, or of a refusal: some clients hide an error that does not fit it."""
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
    return _inlined(answer.model_json_schema(mode="serialization", schema_generator=_WithoutDefaults))


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    definitions = schema.pop("$defs", {})
    compact: dict[str, Any] = _compact(schema, definitions)
    return compact


def _compact(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_compact(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        referred = definitions[schema["$ref"].removeprefix("#/$defs/")]
        return _compact({**referred, **{name: value for name, value in schema.items() if name != "$ref"}}, definitions)
    if "anyOf" in schema:
        others = [one for one in schema["anyOf"] if one != {"type": "null"}]
        if len(others) < len(schema["anyOf"]):
            rest = {name: value for name, value in schema.items() if name != "anyOf"}
            return _compact({**others[0], **rest} if len(others) == 1 else {"anyOf": others, **rest}, definitions)
    return {
        name: {key: _compact(one, definitions) for key, one in value.items()}
        if name == "properties"
        else _compact(value, definitions)
        for name, value in schema.items()
        if not _is_omitted(schema, name, value)
    }


def _is_omitted(schema: dict[str, Any], name: str, value: Any) -> bool:
    """Return whether a model does not need an entry: titles, defaults, a class's docstring, and most bounds.

    These are enforced all the same. A refusal names the bound to the rare call that breaks it.
    """
    match name:
        case "title" | "pattern" | "minLength" | "default" | "propertyNames":
            return True
        case "additionalProperties":
            return value is False
        case "description":  # a class's docstring is for readers of the code
            return schema.get("type") == "object" and "properties" in schema
        case "maxLength" | "maxItems":
            return int(value) > 12
        case "minimum" | "maximum" | "minItems":
            return bool(abs(value) > 1_000_000 or value == 1)
        case _:
            return False
