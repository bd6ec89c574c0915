"""The version of a feature or claim that a caller has read; a change is refused if the row has a later version."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from math import inf, isfinite, nextafter
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, WithJsonSchema


class Version(NamedTuple):
    """The version of a row by a time in it, in seconds since 1970: from `start` until before `end`."""

    start: float
    end: float


_MICROSECOND = 1e-6
"""The precision of Python's times, in seconds."""


def _version(value: Any) -> Any:
    """Accept a time as in an answer, to the second or the microsecond, or an exact number of seconds."""
    if isinstance(value, Version):
        return value
    text = value.isoformat() if isinstance(value, datetime) else value
    if isinstance(text, str):
        with suppress(ValueError):
            exact = float(text)
            if isfinite(exact) and exact > 0:
                return Version(exact, nextafter(exact, inf))
        with suppress(ValueError):
            at = datetime.fromisoformat(text)
            if at.tzinfo is not None:
                start = at.timestamp()
                return (
                    Version(start - _MICROSECOND, start + _MICROSECOND) if at.microsecond else Version(start, start + 1)
                )
    raise ValueError("send the time as it came in the answer")


SeenAt = Annotated[Version, BeforeValidator(_version), WithJsonSchema({"type": "string"})]
"""The time in a row as a caller has read it."""
