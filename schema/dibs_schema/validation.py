"""Say why an input is invalid: by its path, without repeating the value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from dibs_schema.refusals import InvalidInput

SHOWN = 10
"""Invalid arguments that a refusal names."""
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
"""Pydantic's names of the error of an unknown argument."""
_MESSAGES = {
    **dict.fromkeys(("bool_parsing", "bool_type"), "must be true or false"),
    **dict.fromkeys(("dataclass_type", "dict_type", "model_attributes_type", "model_type"), "must be an object"),
    **dict.fromkeys(("enum", "literal_error"), "must be one of {expected}"),
    **dict.fromkeys(UNKNOWN, "is not known here"),
    **dict.fromkeys(("float_parsing", "float_type"), "must be a number"),
    **dict.fromkeys(("int_from_float", "int_parsing", "int_type"), "must be a whole number"),
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_parsing_size": "is too large a number",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "missing": "is required",
    "string_pattern_mismatch": "has a character that is not allowed",
    "string_too_long": "has more than {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be a string",
    "too_long": "has more than {max_length} entries",
    "too_short": "needs at least {min_length} entries",
}
"""The message for each of pydantic's error types (https://docs.pydantic.dev/latest/errors/validation_errors/)."""


def invalid_argument(error: ValidationError, parameters: Sequence[str] = ()) -> InvalidInput:
    """Return the refusal of the invalid arguments, by their paths, without repeating the values.

    For an unknown argument it lists the known `parameters`.
    """
    found = problems(error)
    said = [f"{path_of(place)}: {message}." for place, _, message in found[:SHOWN]]
    if len(found) > SHOWN:
        said.append(f"{len(found) - SHOWN} more arguments are invalid.")
    if parameters and any(kind in UNKNOWN and len(place) == 1 for place, kind, _ in found):
        said.append(f"It takes {', '.join(parameters)}.")
    more: dict[str, Any] = {"fields": [path_of(place) for place, _, _ in found[:SHOWN]]} if len(found) > 1 else {}
    return InvalidInput(" ".join([*said, "Nothing was changed."]), field=path_of(found[0][0]), **more)


def path_of(places: Sequence[int | str]) -> str:
    """Return a path as callers write it: `features[2].name`."""
    path = ""
    for place in places:
        shown = f"[{place}]" if isinstance(place, int) else str(place)[:60]
        path += f".{shown}" if path and not isinstance(place, int) else shown
    return path[:200]


Problem = tuple[Sequence[int | str], str, str]
"""The path of an invalid value, pydantic's name of the error, and a message."""


def first_problem(error: ValidationError) -> Problem:
    """Return the first problem of an error."""
    return problems(error)[0]


def problems(error: ValidationError) -> list[Problem]:
    """Return every problem of an error, in the order of the fields."""
    return [_problem(one) for one in error.errors(include_url=False, include_input=False)]


def _problem(problem: Any) -> Problem:
    kind = problem["type"]
    if kind == "value_error":  # raised by a validator of this package
        message = str(problem["ctx"]["error"])
    else:
        message = _MESSAGES.get(kind, "does not fit").format_map(problem.get("ctx", {}))
    return problem["loc"], kind, message[:200]
