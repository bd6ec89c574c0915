"""Helpers for faults of PostgreSQL: a backlog on a server that may stop, and the refusals of calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from clusters.cluster import PASSWORD
from clusters.urls import moved
from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs_schema.refusals import Busy
from races.backlog import eventually
from races.servers import ServerClient

NEW = {"category": "c", "name": "n", "description": "d", "steps": ["s"]}
AWAY = "cannot be reached now"
"""The refusals of calls while the server is down."""


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """Open the backlog on the server in this process."""
    database = open_database(Settings(db=url))
    try:
        yield database
    finally:
        database.close(patience=5)


def refused_as_away(server: ServerClient, request: int) -> float:
    """Return how long it took, in seconds, until the call was refused because the database cannot be reached."""
    began = time.monotonic()
    result = server.message(request)["result"]
    error = result["structuredContent"]["error"]
    assert result["isError"], result
    assert (error["code"], error["retryable"]) == (Busy.code, True), error
    assert AWAY in error["message"], error
    assert PASSWORD not in str(result)
    return server.arrival(request) - began


def sessions(url: str, condition: str = "true") -> list[tuple[Any, ...]]:
    """Return the ids of the server processes that serve Dibs on this database and satisfy the condition."""
    ours = "datname = current_database() AND application_name = 'dibs'"
    query = f"SELECT pid FROM pg_stat_activity WHERE {ours} AND {condition}"
    with psycopg.connect(moved(url, {"application_name": "tests"}), autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def until_one_waits(url: str) -> None:
    """Wait until a session of Dibs waits for a lock of a foreign session."""
    eventually(lambda: sessions(url, "wait_event_type = 'Lock'"), within=20)
