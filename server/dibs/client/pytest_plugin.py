"""Pytest fixtures for the tests of your programs: a temporary backlog, and the command that serves it.

Load them with `pytest_plugins = ["dibs.client.pytest_plugin"]` in a `conftest.py` or a test module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dibs.client.sync import SyncBacklog


@dataclass(frozen=True, slots=True)
class TemporaryServer:
    """The ways in which agents under test reach the temporary backlog.

    `db` is the path of its file. `command` starts a server on it. `environment` makes any `dibs` or `dibs-mcp` use it;
    the test's own process has these variables already.
    """

    db: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def dibs_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TemporaryServer:
    """Describe a server on the test's own backlog, and remove the developer's variables DIBS_*."""
    for name in [name for name in os.environ if name.startswith("DIBS_")]:
        monkeypatch.delenv(name)
    db = str(tmp_path / "dibs" / "features.db")
    monkeypatch.setenv("DIBS_DB", db)
    return TemporaryServer(db, [sys.executable, "-m", "dibs", "serve", "--db", db], {"DIBS_DB": db})


@pytest.fixture
def dibs_backlog(dibs_server: TemporaryServer) -> Iterator[SyncBacklog]:
    """Open the same backlog as an object, to fill it before the test and to check it afterwards."""
    from dibs.client.sync import SyncBacklog

    with SyncBacklog.open(db=dibs_server.db) as backlog:
        yield backlog
