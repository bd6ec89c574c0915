"""The git tree of a folder as it is now, with uncommitted changes and untracked files, but without ignored ones.

A temporary index and a temporary object folder take what git writes, so that the repository stays as it is. Sources:
git-add(1), git-write-tree(1), and GIT_INDEX_FILE, GIT_OBJECT_DIRECTORY and GIT_ALTERNATE_OBJECT_DIRECTORIES in git(1).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")
"""Variables by which a hook of git names its own repository."""
_OWN = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "advice.addEmbeddedRepo=false")
"""No program of the repository runs for it, but for its filters."""


def unbound_environment() -> dict[str, str]:
    """Return this process's environment without what ties git to one repository."""
    return {name: value for name, value in os.environ.items() if name not in PLACES}


def git_tree(folder: Path, seconds: float) -> str | None:
    """Return the id of the tree, or None outside a repository, without git, or if git takes longer than `seconds`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    with suppress(OSError, subprocess.SubprocessError, UnicodeDecodeError):
        absolute = ("rev-parse", "--path-format=absolute")
        top, index, objects = (  # one at a time, since a path may have line breaks
            _git(folder, environment, seconds, *absolute, *what).removesuffix("\n")
            for what in (("--show-toplevel",), ("--git-path", "index"), ("--git-path", "objects"))
        )
        with tempfile.TemporaryDirectory(prefix="dibs-tree-") as own:
            place = Path(own)
            if Path(index).exists():
                shutil.copy2(index, place / "index")  # whose times of files spare reading the unchanged ones
            environment |= {
                "GIT_INDEX_FILE": str(place / "index"),
                "GIT_OBJECT_DIRECTORY": str(place),
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects,
            }
            _git(Path(top), environment, seconds, "add", "--all")
            return _git(Path(top), environment, seconds, "write-tree").strip()
    return None


def _git(folder: Path, environment: Mapping[str, str], seconds: float, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *_OWN, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=seconds,
        check=True,
    )
    return done.stdout.decode()
