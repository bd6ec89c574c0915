"""The error for configuration files that cannot be read or edited."""

from __future__ import annotations


class Unreadable(Exception):  # noqa: N818 - the name says what the file is
    """The text is not valid in its format, or not in the form that its client reads."""

    @classmethod
    def at(cls, text: str, offset: int, words: str) -> Unreadable:
        """Return the error with its place: line and column, counted from 1."""
        line = text.count("\n", 0, offset) + 1
        column = offset - text.rfind("\n", 0, offset)
        return cls(f"line {line}, column {column}: {words}")
