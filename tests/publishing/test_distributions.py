"""The wheel and the source distribution hold what is published and nothing else, and the wheel runs where it is alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PACKAGES = ("server/dibs/", "schema/dibs_schema/", "proof/dibs_proof/")
PRIVATE = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY|\bgh[pousr]_\w{30}|\bsk-[A-Za-z0-9]{20}|://[\w.-]+:[^\s@/{}]+@[\w-]+\.[\w.-]+\.\w+"
)
"""Keys, and addresses with a password for a host of another machine."""

pytestmark = pytest.mark.only_on("sqlite", reason="no engine plays a part")


def built(source: Path, folder: Path, *kinds: str) -> Path:
    """Build distributions of the sources as `pip` and `uv` do, and return the folder that has them."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(folder), *kinds], cwd=source, check=True)
    return folder


def files_of(archive: Path) -> dict[str, bytes]:
    """Return the files of a distribution: their paths, without the sdist's own folder, and their contents."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist()}
    with tarfile.open(archive) as sdist:
        members = [one for one in sdist.getmembers() if not one.isdir()]
        assert all(one.isfile() for one in members), "links and devices are not published"
        return {one.name.partition("/")[2]: sdist.extractfile(one).read() for one in members}  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution."""
    return built(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    """The wheel."""
    (found,) = distributions.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def sdist(distributions: Path) -> Path:
    """The source distribution."""
    (found,) = distributions.glob("*.tar.gz")
    return found


@pytest.fixture(scope="module")
def sources() -> set[str]:
    """The paths of the repository's files: what is committed, and what is new and not ignored."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, which would list the project's files")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return set(listed.stdout.split("\0")) - {""}


def test_the_sdist_has_files_of_the_repository_alone(sdist: Path, sources: set[str]) -> None:
    """Whatever else lies about in a working copy stays there, and what a build needs is inside."""
    found = files_of(sdist).keys()
    assert found - sources == {"PKG-INFO"}
    assert {name for name in sources if name.startswith(PACKAGES)} <= found
    assert {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "Makefile", "constraints.txt"} <= found


def test_the_wheel_has_the_three_packages_alone(wheel: Path, sources: set[str]) -> None:
    """Each file of the packages, the demo's backlog, and the metadata."""
    found = {name for name in files_of(wheel) if ".dist-info/" not in name}
    packaged = {name.partition("/")[2] for name in sources if name.startswith(PACKAGES)}
    assert found == packaged | {"dibs_proof/demo/backlog.json"}


def test_nothing_published_is_private(wheel: Path, sdist: Path) -> None:
    """No key, no password, no path of the machine that built it."""
    here = f"{ROOT}/".encode()
    for archive in (wheel, sdist):
        for name, content in files_of(archive).items():
            leak = PRIVATE.search(content)
            assert leak is None, f"{name}: {leak and leak[0]!r}"
            assert here not in content, f"{name} names the folder in which it was built"


def test_the_sdist_builds_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    """Who builds from the source distribution gets what is published."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    (rebuilt,) = built(source, tmp_path / "dist", "-t", "wheel").glob("*.whl")
    assert files_of(rebuilt) == files_of(wheel)


def required(name: str, extras: frozenset[str] = frozenset()) -> Iterator[metadata.Distribution]:
    """Yield the installed distributions that one requires, and those that these require."""
    for line in metadata.requires(name) or ():
        one = Requirement(line)
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield metadata.distribution(one.name)
            yield from required(one.name, frozenset(one.extras))


@pytest.mark.slow
def test_the_wheel_alone_in_a_bare_environment_runs_the_demo(wheel: Path, tmp_path: Path) -> None:
    """Installed with its declared requirements alone, `dibs demo` keeps its promises.

    The requirements are those of the tests' own environment, so that no network is needed; `make wheel` fetches them.
    """
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True)
    (packages,) = (tmp_path / "bare" / "lib").glob("python*/site-packages")
    for one in required("dibs-mcp"):
        for top in {file.parts[0] for file in one.files or () if file.parts[0] != ".."}:
            if not (packages / top).exists():
                (packages / top).symlink_to(str(one.locate_file(top)))
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "LANG": "C.UTF-8"}

    def run(*command: str) -> str:
        return subprocess.run(
            command, env=environment, cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    where = run(str(python), "-c", "import dibs, dibs_proof, dibs_schema as s; print(dibs, dibs_proof, s, sep='\\n')")
    assert where.count(f"from '{packages}/dibs") == 3
    feature = {"category": "core", "description": "what it does", "steps": ["look"]}
    backlog = tmp_path / "backlog.json"
    backlog.write_text(json.dumps([feature | {"name": f"feature {number}"} for number in range(6)]))
    run(str(python.with_name("dibs")), "demo", "--agents", "2", "--lease", "1", "--features", str(backlog))
