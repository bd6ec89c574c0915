"""A shell in a folder with an empty backlog."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.shells import Shell


@pytest.fixture
def there(db: str, tmp_path: Path) -> Shell:
    """A shell in its own folder with a backlog without features."""
    folder = tmp_path / "folder"
    (folder / ".git").mkdir(parents=True)  # so that the folder is a root: a server has no folder of its own
    return Shell(folder, {"DIBS_DB": db, "DIBS_PROJECT": "default"})
