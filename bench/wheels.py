"""Asks the package index which wheels of the dependencies exist for each system and Python: `python -m bench.wheels`.

It prints the table of docs/platforms.md; `python -m bench.wheels pysqlite3` asks for one package alone. Nothing is
installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.14t")
"""The last one is the free-threaded build."""
SYSTEMS = {
    "Linux x86_64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "Linux aarch64": ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
    "macOS arm64": ("macosx_14_0_arm64",),
    "macOS x86_64": ("macosx_14_0_x86_64",),
    "Windows x86_64": ("win_amd64",),
}
"""Tags of the wheels that pip accepts on each system; macOS also accepts those for older versions."""


def dependencies() -> list[str]:
    """Return the names of what Dibs requires, with psycopg, and of what they require in turn, as installed here."""
    found: set[str] = set()
    waiting = ["dibs-mcp[postgres]"]
    while waiting:
        wanted = Requirement(waiting.pop())
        name = wanted.name.lower().replace("_", "-")
        if name not in found:
            found.add(name)
            requires = map(Requirement, metadata.requires(name) or [])
            extras = [{"extra": one} for one in wanted.extras or {""}]
            waiting += [str(one) for one in requires if not one.marker or any(map(one.marker.evaluate, extras))]
    return sorted(found - {"dibs-mcp"})


def pinned() -> dict[str, str]:
    """Return the versions of constraints.txt, by name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.lower().replace("_", "-").split("==") for line in lines if "==" in line)


def without_wheels(names: list[str], tags: tuple[str, ...], python: str) -> set[str]:
    """Return those of the requirements for which the index has no wheel. Their own requirements are not looked at."""
    left, missing = list(names), set[str]()
    options = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python.rstrip("t")]
    if python.endswith("t"):
        options += ["--abi", f"cp{python.replace('.', '')}"]
    platforms = [word for tag in tags for word in ("--platform", tag)]
    while left:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps", "--target", folder]
            whole = [*command, *options, *platforms, *left]
            asked = subprocess.run(whole, capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            break
        named = re.search(r"No matching distribution found for (\S+)", asked.stderr)
        if named is None or named[1] not in left:
            raise RuntimeError(asked.stderr)
        left.remove(named[1])
        missing.add(named[1])
    return missing


def main() -> None:
    """Print the table."""
    versions = pinned()
    asked = sys.argv[1:] or dependencies()
    names = [f"{name}=={versions[name]}" if name in versions else name for name in asked]
    missing: dict[str, dict[str, list[str]]] = {name: {} for name in names}
    for system, tags in SYSTEMS.items():
        for python in PYTHONS:
            for name in without_wheels(names, tags, python):
                missing[name].setdefault(system, []).append(python)
    print(f"| package | {' | '.join(SYSTEMS)} |\n|{'---|' * (len(SYSTEMS) + 1)}")
    for name, without in missing.items():
        cells = [_cell(without.get(system, [])) for system in SYSTEMS]
        print(f"| {name.replace('==', ' ')} | {' | '.join(cells)} |")


def _cell(without: list[str]) -> str:
    have = [python for python in PYTHONS if python not in without]
    return "all" if not without else ", ".join(have) or "none"


if __name__ == "__main__":
    main()
