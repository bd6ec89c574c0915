"""What is said of a configuration file that is not what its name promises."""

from __future__ import annotations


class Unreadable(Exception):  # noqa: N818 - it is what the file is
    """The text is not of its format, or not of the form that its client reads."""

    @classmethod
    def at(cls, text: str, offset: int, words: str) -> Unreadable:
        """The same with the place: line and column, counted from one."""
        line = text.count("\n", 0, offset) + 1
        column = offset - text.rfind("\n", 0, offset)
        return cls(f"line {line}, column {column}: {words}")
