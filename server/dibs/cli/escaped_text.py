"""Escapes text for a terminal: control and bidirectional characters become visible, and no text can forge a line."""

from __future__ import annotations

import re
from typing import Any

_BIDIRECTIONAL = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"


def one_line(text: object) -> str:
    r"""Return a text with its line breaks, control and bidirectional characters shown as escapes, such as `\n`."""
    return re.sub(rf"[\x00-\x1f\x7f-\x9f\u2028\u2029{_BIDIRECTIONAL}]", _escape, str(text))


def several_lines(text: str) -> str:
    """Return a text with its control and bidirectional characters shown as escapes, except line breaks and tabs."""
    return re.sub(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDIRECTIONAL}]", _escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def values_on_one_line(value: Any) -> str:
    """Return JSON values as one line."""
    if isinstance(value, dict):
        return ", ".join(f"{one_line(name)}: {values_on_one_line(one)}" for name, one in value.items())
    if isinstance(value, list):
        return "; ".join(values_on_one_line(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else one_line(value)


def counted(number: int, what: str) -> str:
    """Return `1 feature` or `2 features`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
