"""Times for people: how long ago, and the local time or UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_UNITS = (("day", 86_400), ("h", 3_600), ("min", 60))


def span(seconds: float) -> str:
    """Return a length of time in its two largest units: `20 s`, `12 min`, `3 h 5 min`, `2 days 4 h`."""
    left, parts = max(0, int(seconds)), list[str]()
    for name, size in _UNITS:
        if left >= size and len(parts) < 2:
            number, left = divmod(left, size)
            parts.append(f"{number} {name}{'s' if name == 'day' and number > 1 else ''}")
        elif parts:
            break
    return " ".join(parts) or f"{left} s"


def ago(at: datetime, now: datetime) -> str:
    """Return how long ago a time was, or in how long it will be: `20 s ago`, `in 5 min`."""
    seconds = (now - at).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


@dataclass(frozen=True, slots=True)
class Reader:
    """Formats times for a person: relative to `now`, in the local time zone or in UTC."""

    now: datetime
    utc: bool = False

    @classmethod
    def present(cls, *, utc: bool = False) -> Reader:
        """Return a reader of this moment."""
        return cls(datetime.now(UTC), utc)

    def clock(self, at: datetime) -> str:
        """Return the date and the time of day."""
        return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if self.utc else f"{at.astimezone():%Y-%m-%d %H:%M:%S}"

    def read(self, value: Any, otherwise: Any) -> Any:
        """Return a time as `both` does, and `otherwise` for any other value."""
        return self.both(value) if isinstance(value, datetime) else otherwise

    def both(self, at: datetime) -> str:
        """Return how long ago a time was, and its date and time of day."""
        return f"{ago(at, self.now)} ({self.clock(at)})"
