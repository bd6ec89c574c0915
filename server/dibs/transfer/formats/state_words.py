"""The words that a file uses for the states of its features, so that an export in place can use them too."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from dibs.transfer.formats.status import status_word
from dibs.transfer.formats.vocabulary import IN_PROGRESS, snake
from dibs_schema.status import Status

OPPOSITES: Final = {
    "failing": "passing",
    "fail": "pass",
    "failed": "passed",
    "open": "closed",
    "incomplete": "complete",
    "not_started": "completed",
    "todo": "done",
}
"""Words for work that is left, and the word for done that goes with each."""
DEFAULTS: Final = {
    Status.PASSING: "done",
    Status.PENDING: "pending",
    Status.NEEDS_HUMAN: "blocked",
    Status.STUCK: "blocked",
    Status.ARCHIVED: "cancelled",
}
_SPECIAL: Final = {*IN_PROGRESS, "skipped", "skip", "deferred", "review", "in_review", "needs_review", "testing"}
"""Words that are read as pending, but say more than that."""


class StateWords:
    """The words of one file, the most frequent first."""

    def __init__(self, used: Iterable[str]) -> None:
        counted = Counter(used)
        self._by_status: defaultdict[Status, list[str]] = defaultdict(list)
        for word, _ in counted.most_common():
            meaning = status_word(word, {})
            if meaning is not None and meaning.rest is None and snake(word) not in _SPECIAL:
                self._by_status[meaning.status].append(word)
        self._capitals = bool(counted) and all(word.isupper() for word in counted)

    def word(self, status: Status) -> str:
        """Return the file's own word for a status, else the opposite of one of its words, else a common word."""
        if self._by_status[status]:
            return self._by_status[status][0]
        if status is Status.NEEDS_HUMAN and self._by_status[Status.STUCK]:
            return self._by_status[Status.STUCK][0]
        opposites = {Status.PASSING: OPPOSITES, Status.PENDING: {done: left for left, done in OPPOSITES.items()}}
        others = self._by_status[Status.PENDING if status is Status.PASSING else Status.PASSING]
        known = opposites.get(status, {})
        found = next((known[snake(one)] for one in others if snake(one) in known), DEFAULTS[status])
        return found.upper() if self._capitals else found
