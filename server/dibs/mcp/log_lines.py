"""The log: one line per record on standard error, without access tokens, claim tokens and whole session ids."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from typing import Final

MOST_ALIKE: Final = 5
"""Warnings and errors of one kind that are logged in a minute."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TOKEN = re.compile(r"\b[0-9a-hjkmnp-tv-z]{13}\b", re.IGNORECASE)
"""The shape of a claim token, as `dibs.rules.claimant` makes them; few words are like it."""
_ACCESS_TOKEN = re.compile(r"dibs_[0-9A-Za-z]{16,}")
"""An access token, or the beginning of one."""
_SESSION = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{24}\b")


class LineFormatter(logging.Formatter):
    r"""Writes a record, with its traceback, as one line: control characters are escapes, such as `\n`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record. Tokens are replaced by `[token]`, and session ids are truncated."""
        text = _SESSION.sub(r"\1…", _TOKEN.sub("[token]", _ACCESS_TOKEN.sub("[token]", super().format(record))))
        return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class LineHandler(logging.StreamHandler):  # type: ignore[type-arg]  # it is no generic class at run time
    """Writes to standard error. A line that cannot be written is lost; nothing else fails."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())
        self._minute = 0
        self._alike: Counter[tuple[str, str]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, if it is one of the first of its kind in a minute: no flood of warnings fills a disk."""
        if record.levelno >= logging.WARNING:
            minute = int(time.monotonic() / 60)
            if minute != self._minute:
                self._minute = minute
                self._alike.clear()
            kind = (record.name, str(record.msg))
            self._alike[kind] += 1
            if self._alike[kind] > MOST_ALIKE:
                return
            if self._alike[kind] == MOST_ALIKE:
                record.msg = f"{record.msg} (no more of these are logged in this minute)"
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Do nothing: a report of the error would go the same way."""


def log_lines(level: str) -> None:
    """Log records of that level and above, unless the program that contains the server has set up its own log.

    The SDK's own set-up then changes nothing. Its handler imports rich, wraps lines, and needs files to print an error.
    """
    logging.basicConfig(level=level, handlers=[LineHandler()])
