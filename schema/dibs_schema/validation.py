"""Say why an input is invalid: by its path, without repeating the value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from dibs_schema.refusals import InvalidInput

_MESSAGES = {
    **dict.fromkeys(("bool_parsing", "bool_type"), "must be true or false"),
    **dict.fromkeys(("dataclass_type", "dict_type", "model_attributes_type", "model_type"), "must be an object"),
    **dict.fromkeys(("enum", "literal_error"), "must be one of {expected}"),
    **dict.fromkeys(("extra_forbidden", "unexpected_keyword_argument"), "is not known here"),
    **dict.fromkeys(("float_parsing", "float_type"), "must be a number"),
    **dict.fromkeys(("int_from_float", "int_parsing", "int_type"), "must be a whole number"),
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_parsing_size": "is too large a number",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "missing": "is required",
    "string_pattern_mismatch": "has a character that is not allowed there",
    "string_too_long": "has more than {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be a string",
    "too_long": "has more than {max_length} entries",
    "too_short": "needs at least {min_length} entries",
}
"""The message for each of pydantic's error types (https://docs.pydantic.dev/latest/errors/validation_errors/)."""


def invalid_argument(error: ValidationError, parameters: Sequence[str] = ()) -> InvalidInput:
    """Return the refusal of the first invalid argument, by its path, without repeating the value.

    For an unknown argument it lists the known `parameters`.
    """
    place, kind, message = first_problem(error)
    path = path_of(place)
    unknown = kind in ("extra_forbidden", "unexpected_keyword_argument") and len(place) == 1
    known = f" It takes {', '.join(parameters)}." if unknown and parameters else ""
    return InvalidInput(f"{path}: {message}.{known} Nothing was changed.", field=path)


def path_of(places: Sequence[int | str]) -> str:
    """Return a path as callers write it: `features[2].name`."""
    path = ""
    for place in places:
        shown = f"[{place}]" if isinstance(place, int) else str(place)[:60]
        path += f".{shown}" if path and not isinstance(place, int) else shown
    return path[:200]


def first_problem(error: ValidationError) -> tuple[Sequence[int | str], str, str]:
    """Return the path of the first invalid value, pydantic's name of the error, and a message."""
    problem: Any = error.errors(include_url=False, include_input=False)[0]
    kind = problem["type"]
    if kind == "value_error":  # raised by a validator of this package
        message = str(problem["ctx"]["error"])
    else:
        message = _MESSAGES.get(kind, "does not fit").format_map(problem.get("ctx", {}))
    return problem["loc"], kind, message[:200]
