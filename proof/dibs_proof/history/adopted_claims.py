"""Checks the servers that were started for one claim."""

from __future__ import annotations

from collections.abc import Iterator

from dibs_proof.history.history import History
from dibs_proof.history.interpret import claimed_feature, token_of
from dibs_proof.history.violations import Violation


def check(history: History) -> Iterator[Violation]:
    """Yield a violation for each other claim of a server that was started for one."""
    for call in history.calls:
        adopted, token = history.connection(call.client).claim, token_of(call)
        if None not in (adopted, token) and token != adopted:
            message = f"a server that was started for one claim returned another, {token}"
            yield Violation("adopted_other", claimed_feature(call), message, (call,))
