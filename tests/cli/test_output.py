"""Commands without a working standard output, in a deleted folder, or of a user without a name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.shells import Shell
from dibs.platform.users import user_name

pytestmark = pytest.mark.only_on("sqlite", reason="no engine plays a part")

NEW = ("--category", "core", "--description", "What it does.", "--step", "Look.")


def typed(there: Shell, line: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a shell line in which `dibs` is the command."""
    script = f'dibs() {{ "{sys.executable}" -m dibs "$@"; }}; {line}'
    return subprocess.run(
        ["sh", "-c", script],
        cwd=cwd or there.folder,
        env=there.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("output", [">/dev/full", ">&-"])
def test_a_claim_that_nobody_can_read_is_told_and_taken_back(there: Shell, output: str) -> None:
    """If standard output is full or closed, the command prints one line about it, and has no claim."""
    there.json("add", "One", *NEW)
    done = typed(there, f"dibs claim {output}")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.startswith("dibs: ")
    assert there.json("get", 1)["status"] == "pending"


def test_a_list_into_a_full_disk_is_told(there: Shell) -> None:
    """Failed output ends in one line and status 1, not in a traceback."""
    there.json("add", "One", *NEW)
    done = typed(there, "dibs list >/dev/full")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "No space left" in done.stderr


def test_a_list_in_a_pipe_has_a_line_for_each_feature(there: Shell) -> None:
    """Long names are never wrapped in output for programs."""
    name = " ".join(["word"] * 40)
    there.json("add", name, *NEW)
    done = typed(there, "dibs list | cat")
    assert [line for line in done.stdout.splitlines() if name in line] != []


@pytest.mark.parametrize("command", ["list", "claim", "init claude --yes", "serve"])
def test_a_folder_that_is_gone_is_told(there: Shell, tmp_path: Path, command: str) -> None:
    """In a deleted folder, every command reports that."""
    gone = tmp_path / "gone"
    gone.mkdir()
    done = typed(there, f"rmdir ../gone; env -u DIBS_DB {sys.executable} -m dibs {command} </dev/null", gone)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "folder has been deleted" in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user that the system does not know")
def test_a_user_that_the_system_does_not_know_is_named_by_its_number() -> None:
    """A container may run as any user, so no command depends on an entry in passwd."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
            os.environ.pop(variable, None)
        os.setuid(61_234)
        os.write(writes, user_name().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writes)
    assert os.read(reads, 100) == b"uid-61234"
    os.close(reads)
