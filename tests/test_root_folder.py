"""All worktrees of one repository share one backlog, and no backlog is made where many projects would share it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dibs.root_folder import BACKLOG, find_root, possible_roots
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput
from races.servers import ServerClient

NEW = ("--category", "core", "--description", "What it does.", "--step", "Look.")

pytestmark = pytest.mark.only_on("sqlite", reason="a database server has no folder")


def git(*arguments: object, folder: Path) -> None:
    """Run git with an identity, and without the user's configuration."""
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *identity, *map(str, arguments)], cwd=folder, check=True, capture_output=True)


def repository(folder: Path, *options: object) -> Path:
    """Make a repository with one commit."""
    folder.mkdir(parents=True)
    git("init", "-q", *options, folder=folder)
    git("commit", "-q", "--allow-empty", "-m", "x", folder=folder)
    return folder


def linked(tmp_path: Path) -> tuple[Path, list[Path]]:
    """A repository with one worktree next to it and one inside it."""
    main = repository(tmp_path / "main")
    git("worktree", "add", "-q", tmp_path / "side", folder=main)
    git("worktree", "add", "-q", main / ".worktrees" / "inner", folder=main)
    return main, [main, tmp_path / "side", main / ".worktrees" / "inner"]


def bare_and_hidden(tmp_path: Path) -> tuple[Path, list[Path]]:
    """A folder with a hidden bare repository, a `.git` file for it, and worktrees."""
    source, project = repository(tmp_path / "source"), tmp_path / "project"
    project.mkdir()
    git("clone", "-q", "--bare", source, project / ".bare", folder=project)
    (project / ".git").write_text("gitdir: ./.bare\n")
    for name in ("one", "two"):
        git("worktree", "add", "-q", "-b", name, project / name, folder=project)
    return project, [project, project / "one", project / "two", project / ".bare"]


def bare_with_settings_of_worktrees(tmp_path: Path) -> tuple[Path, list[Path]]:
    """A hidden bare repository whose worktrees have settings of their own, so that git keeps `core.bare` elsewhere."""
    project, folders = bare_and_hidden(tmp_path)
    git("sparse-checkout", "set", "src", folder=project / "one")
    return project, folders[:3]


def bare_without_a_pointer(tmp_path: Path) -> tuple[Path, list[Path]]:
    """A hidden bare repository without a `.git` file in the folder that holds it."""
    project, folders = bare_and_hidden(tmp_path)
    (project / ".git").unlink()
    return project, folders[1:3]


def bare_as_git(tmp_path: Path) -> tuple[Path, list[Path]]:
    """A folder whose `.git` is a bare repository, with worktrees next to that."""
    source, project = repository(tmp_path / "source"), tmp_path / "project"
    project.mkdir()
    git("clone", "-q", "--bare", source, project / ".git", folder=project)
    git("worktree", "add", "-q", "-b", "one", project / "one", folder=project)
    return project, [project, project / "one"]


def bare_by_name(tmp_path: Path) -> tuple[Path, list[Path]]:
    """A bare repository under its usual name, with worktrees anywhere: they share the repository's folder."""
    source = repository(tmp_path / "source")
    git("clone", "-q", "--bare", source, tmp_path / "shop.git", folder=tmp_path)
    for name in ("one", "two"):
        git("worktree", "add", "-q", "-b", name, tmp_path / name, folder=tmp_path / "shop.git")
    return tmp_path / "shop.git", [tmp_path / "one", tmp_path / "two"]


def submodule(tmp_path: Path) -> tuple[Path, list[Path]]:
    """A submodule with a worktree: a repository of its own."""
    part, outer = repository(tmp_path / "part"), repository(tmp_path / "outer")
    git("submodule", "add", "-q", part, "lib", folder=outer)
    git("worktree", "add", "-q", tmp_path / "lib-side", folder=outer / "lib")
    return outer / "lib", [outer / "lib", tmp_path / "lib-side"]


def separate(tmp_path: Path) -> tuple[Path, list[Path]]:
    """A repository whose git folder is elsewhere, which does not know its first worktree."""
    main = repository(tmp_path / "main", "--separate-git-dir", tmp_path / "elsewhere")
    git("worktree", "add", "-q", tmp_path / "side", folder=main)
    return tmp_path / "elsewhere", [main, tmp_path / "side"]


Layout = Callable[[Path], tuple[Path, list[Path]]]
LAYOUTS: list[Layout] = [
    linked,
    bare_and_hidden,
    bare_with_settings_of_worktrees,
    bare_without_a_pointer,
    bare_as_git,
    bare_by_name,
    submodule,
    separate,
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_all_worktrees_of_a_repository_share_one_backlog(tmp_path: Path, layout: Layout) -> None:
    """Each folder, and a folder below it, leads to the same root; a worktree can also have a backlog of its own."""
    root, folders = layout(tmp_path)
    for folder in folders:
        (folder / "src").mkdir(exist_ok=True)
        assert find_root(folder) == find_root(folder / "src") == root
        if (folder / ".git").is_file():
            assert find_root(folder / "src", isolated=True) == folder


@pytest.mark.parametrize("layout", [bare_and_hidden, separate], ids=lambda layout: layout.__name__)
def test_a_backlog_that_is_there_is_used_and_no_second_one_is_made(tmp_path: Path, layout: Layout) -> None:
    """A backlog in the other possible place is found, and `dibs doctor` names both if there are two."""
    root, folders = layout(tmp_path)
    first, other = possible_roots(folders[0])[:2]
    assert first == root
    add(other)
    assert find_root(folders[0]) == other
    assert status(folders[0]) == str(other / BACKLOG)
    (root / ".dibs").mkdir()
    (root / BACKLOG).write_bytes((other / BACKLOG).read_bytes())
    printed = "".join(dibs("doctor", folder=folders[0]).replace("warning", "").split())
    assert f"{root / BACKLOG}isused,andthisrepositoryhasanother:{other / BACKLOG}." in printed


def test_a_worktree_whose_repository_is_missing_gets_no_backlog(tmp_path: Path) -> None:
    """As in a container that sees only the worktree: the refusal names the ways on, and they work."""
    main, (_, side, _) = linked(tmp_path)
    main.rename(tmp_path / "moved")
    with pytest.raises(InvalidInput, match=r"cannot be reached here.*--db.*--isolated"):
        dibs("add", "One", *NEW, folder=side)
    assert not (side / ".dibs").exists()
    add(side, "--isolated")
    assert status(side) == str(side / BACKLOG), "it is there, so it is used"


@pytest.mark.parametrize("repository_at_home", [False, True])
def test_no_backlog_is_made_in_a_home_folder_or_used_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository_at_home: bool
) -> None:
    """Neither a backlog in the home folder nor a repository there takes in the projects below; each has its own."""
    home, project = tmp_path / "home", tmp_path / "home" / "project"
    project.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    if repository_at_home:
        git("init", "-q", folder=home)
    for shared in (home, Path("/")):
        monkeypatch.chdir(shared)
        with pytest.raises(InvalidInput, match=f"^{shared} is the folder of many projects"):
            Settings.read({}, {}).database_file()
        with pytest.raises(InvalidInput, match="is the folder of many projects"):
            Settings.read({"db": "postgresql://db.example.com/dibs"}, {})
    (home / ".dibs").mkdir()
    (home / BACKLOG).touch()
    assert find_root(project) == project
    monkeypatch.chdir(home)
    assert Settings.read({}, {}).database_file() == home / BACKLOG, "somebody has made it there"
    with pytest.raises(InvalidInput, match="add --user"):
        dibs("init", "codex", "--yes", folder=home)
    assert f"Codex, {home}/.codex/config.toml" in dibs("init", "codex", "--yes", "--user", folder=home)
    assert f"Codex, {project}/.codex/config.toml" in dibs("init", "codex", "--dry-run", folder=project)


@pytest.mark.parametrize("variable", ["CLAUDE_PROJECT_DIR", "WORKSPACE_FOLDER_PATHS"])
def test_a_server_serves_the_project_that_its_client_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A client that starts its servers in the home folder names the project's folder in a variable."""
    home, project = tmp_path / "home", repository(tmp_path / "project")
    home.mkdir()
    monkeypatch.chdir(home)
    (tmp_path / "link").symlink_to(project)
    command = [sys.executable, "-m", "dibs", "serve"]
    named = [(str(project), project), (str(tmp_path / "link"), project)]
    for value, served in [*named, (f"{project},{home}", None), ("project", None), ("", None)]:
        with ServerClient(command, {"HOME": str(home), variable: value}) as server:
            if served is not None:
                assert server.call("feature_get_stats")["database"] == str(served / BACKLOG)
            else:
                assert server.status(60) == 2
                assert "is the folder of many projects" in server.log()


@pytest.mark.parametrize(
    "text", ["${DIBS_DB:-}", "${env:DIBS_DB}", "a/${NAME}/b", "{env:DIBS_DB}", "$DIBS_DB", "$HOME/a.db", "%DIBS_DB%"]
)
@pytest.mark.parametrize("setting", ["db", "agent", "project"])
def test_a_variable_that_a_client_has_not_replaced_is_refused(setting: str, text: str) -> None:
    """It names no file, agent or project."""
    for flags, environment in (({setting: text}, {}), ({}, {f"DIBS_{setting.upper()}": text})):
        with pytest.raises(InvalidInput, match="has not replaced this variable"):
            Settings.read(flags, environment)


def dibs(*arguments: str, folder: Path) -> str:
    """Run a command in a folder, and return what it printed. Raises InvalidInput with its error for status 2."""
    done = subprocess.run(
        [sys.executable, "-m", "dibs", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode == 2 and done.stderr:
        raise InvalidInput(" ".join(done.stderr.split()))
    return done.stdout


def add(folder: Path, *options: str) -> None:
    """Make a backlog in a folder with one feature."""
    options = options or ("--db", str(folder / BACKLOG))
    dibs("add", "One", *NEW, *options, folder=folder)
    assert (folder / BACKLOG).exists()


def status(folder: Path) -> str:
    """Return the database that the commands in a folder use."""
    database: str = json.loads(dibs("status", "--json", folder=folder))["database"]
    return database
