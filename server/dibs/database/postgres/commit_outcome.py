"""What cannot be known of a commit whose answer is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError

from dibs.database.postgres.errors import is_lost, original
from dibs_schema.refusals import OutcomeUnknown


@contextmanager
def committing(driver: psycopg.Connection[Any], label: str) -> Iterator[None]:
    """Say OutcomeUnknown where a commit's answer is lost, or it is not on every disk that it must be on.

    A server that gives up waiting for its standby says so in a warning, and then that it has committed.
    Source: SyncRepWaitForLSN in PostgreSQL's src/backend/replication/syncrep.c
    """
    severities: list[str | None] = []

    def listen(notice: psycopg.errors.Diagnostic) -> None:
        severities.append(notice.severity_nonlocalized)  # read now: later it is gone

    driver.add_notice_handler(listen)
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        if is_lost(original(error)):
            raise _unknown(f"The connection to {label} broke") from error
        raise
    finally:
        driver.remove_notice_handler(listen)
    if "WARNING" in severities:
        raise _unknown(f"No standby of {label} confirmed in time")


def _unknown(what: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"{what} while the change was being committed: it may be there or not. Call again with the same "
        "request_id or claim_token to find out. A claim without either is given back: just claim again. "
        "Look before you repeat anything else."
    )
