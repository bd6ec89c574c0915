"""Asks the package index which wheels of the dependencies exist for each system and Python: `python -m bench.wheels`.

It prints the table of docs/platforms.md; `python -m bench.wheels pysqlite3` asks for one package alone. Nothing is
installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = {
    "Linux x86_64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "Linux aarch64": ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
    "macOS arm64": ("macosx_14_0_arm64",),
    "macOS x86_64": ("macosx_14_0_x86_64",),
    "Windows x86_64": ("win_amd64",),
}
"""Tags of the wheels that pip accepts on each system; macOS also accepts those for older versions."""


def dependencies() -> list[str]:
    """Return the names of what Dibs requires, with the compiled parts of two of them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.split(r"[^\w-]", one)[0] for one in project["dependencies"]]
    return sorted([*names, "psycopg-binary", "pydantic-core"])


def pinned() -> dict[str, str]:
    """Return the versions of constraints.txt, by name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.replace("_", "-").split("==") for line in lines if "==" in line)


def have_wheels(names: list[str], tags: tuple[str, ...], python: str) -> bool:
    """Return whether the index has wheels of all the requirements. Their own requirements are not looked at."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps", "--target", folder]
        options = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
        platforms = [word for tag in tags for word in ("--platform", tag)]
        asked = subprocess.run([*command, *options, *platforms, *names], capture_output=True, text=True, check=False)
    if asked.returncode and "No matching distribution" not in asked.stderr:
        raise RuntimeError(asked.stderr)
    return asked.returncode == 0


def main() -> None:
    """Print the table."""
    versions = pinned()
    asked = sys.argv[1:] or dependencies()
    names = [f"{name}=={versions[name]}" if name in versions else name for name in asked]
    missing: dict[str, dict[str, list[str]]] = {name: {} for name in names}
    for system, tags in SYSTEMS.items():
        for python in PYTHONS:
            if have_wheels(names, tags, python):
                continue
            for name in names:
                if len(names) == 1 or not have_wheels([name], tags, python):
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
