"""A shell in a folder with an empty backlog, on each engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.shells import Shell


@pytest.fixture
def shell(db: str, tmp_path: Path) -> Shell:
    """A shell in a folder of its own, whose backlog has no features."""
    folder = tmp_path / "folder"
    (folder / ".git").mkdir(parents=True)
    return Shell(folder, {"DIBS_DB": db, "DIBS_PROJECT": "default"})
