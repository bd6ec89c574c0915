"""The root folder of a project: its `.dibs/` is shared by the agents in all worktrees of one repository.

Sources: gitrepository-layout(5) for `.git` files and `commondir`, git-config(1) for `core.bare` and `core.worktree`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from dibs.regular_file import read_regular
from dibs_schema.refusals import InvalidInput

BACKLOG = Path(".dibs") / "features.db"
"""The backlog of a project, in its root folder."""
PROJECT_VARIABLES = ("CLAUDE_PROJECT_DIR", "WORKSPACE_FOLDER_PATHS")
"""The variables in which Claude Code and Cursor name the project's folder to the servers that they start."""
PLUGIN_VARIABLES = ("PLUGIN_ROOT", "CLAUDE_PLUGIN_ROOT")
"""The variables in which clients name the folder of the plugin whose server they start, often in that folder.

Source: https://agent-plugins.org, specification 1.0.0, 7.2.1 and 9.1.
"""
LONGEST_LINE = 4096
"""Bytes of a path, with which no system call works any more. Source: PATH_MAX of Linux."""
LONGEST_CONFIG = 1 << 20
NAME_IT = "Name the backlog with --db or DIBS_DB."


def current_folder() -> Path:
    """Return the current folder. Raises InvalidInput if it was deleted, as by `git worktree remove`."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise InvalidInput(
            "The current folder has been deleted. Change to one that exists, or name the backlog with --db.",
            field="--db",
        ) from None


def served_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder whose project a server serves: the folder that its client names, else the current folder."""
    return named_folder(environ) or current_folder()


def named_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder that a client names in the environment of its servers, if it names exactly one."""
    for variable in PROJECT_VARIABLES:
        folder = Path(environ.get(variable, ""))
        with suppress(OSError):
            if folder.is_absolute() and folder.is_dir():  # several folders, as of a workspace, are no one project
                return folder.resolve()
    return None


def find_root(folder: Path, *, isolated: bool = False) -> Path:
    """Return the root folder of the project that `folder` belongs to.

    In a git repository that is the same folder for all its worktrees; `isolated` makes it the worktree itself.
    Elsewhere it is the nearest folder from `folder` upward that has a backlog, else `folder`. Raises InvalidInput if a
    file of git is unreadable.
    """
    roots = possible_roots(folder, isolated=isolated)
    return next((one for one in roots if has_backlog(one)), roots[0])


def possible_roots(folder: Path, *, isolated: bool = False) -> list[Path]:
    """Return the folders in which a backlog of the project may be, the most suitable first. Raises InvalidInput."""
    if is_plugin(folder):
        return [folder]
    lineage = [folder, *(one for one in folder.parents if not is_shared(one))]
    try:
        for candidate in lineage:
            dot_git = candidate / ".git"
            if dot_git.is_dir() or (isolated and dot_git.is_file()):
                return [candidate]
            if dot_git.is_file():
                return list(dict.fromkeys(_roots_of_repository(candidate, dot_git)))
        return [next((one for one in lineage if has_backlog(one)), folder)]
    except OSError as error:
        raise InvalidInput(f"{error.filename} cannot be read: {error.strerror}. {NAME_IT}", field="--db") from error


def refuse_new_backlog(root: Path, *, isolated: bool = False, way_on: str = NAME_IT, field: str = "--db") -> None:
    """Raise InvalidInput, with the next step, if a backlog for `root` is created only when the user names it."""
    if is_shared(root):
        raise InvalidInput(
            f"{root} is the folder of many projects, and no backlog is made for it. Start in the folder of a project. Or: "
            f"{way_on}",
            field=field,
        )
    dot_git = root / ".git"
    if not isolated and dot_git.is_file() and not (git_dir := _path_in(dot_git, root)).is_dir():
        raise InvalidInput(
            f"{root} is a worktree of a repository that cannot be reached here: {git_dir} is missing. All its "
            f"worktrees share one backlog. Make the repository available. Or: {way_on} Or give this worktree a backlog of "
            "its own with --isolated.",
            field="--isolated",
        )


def state_folder(file: Path | None, *, isolated: bool) -> Path:
    """Return the `.dibs/` for what commands remember about a backlog; it need not exist.

    For a database file it is the `.dibs/` that contains the file or is next to it; for a server (None), the root
    folder's.
    """
    if file is None:
        return find_root(current_folder(), isolated=isolated) / ".dibs"
    parent = Path(os.path.realpath(file)).parent
    return parent if parent.name == ".dibs" else parent / ".dibs"


def has_backlog(root: Path) -> bool:
    """Return whether a folder has a backlog, or a `.dibs/` that this user may not enter, which others use."""
    try:
        return (root / BACKLOG).exists()
    except PermissionError:
        return True


def is_plugin(folder: Path, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether a folder is the folder of this server's own plugin, in which no agent works."""
    return any(environ.get(one) and Path(environ[one]).resolve() == folder.resolve() for one in PLUGIN_VARIABLES)


def is_shared(folder: Path) -> bool:
    """Return whether a folder is the user's home folder, the root of a file system, or the server's plugin folder."""
    try:
        home = Path.home().resolve()
    except RuntimeError:  # no home folder is known, as in many containers
        home = None
    resolved = folder.resolve()
    return resolved in (home, resolved.parent) or is_plugin(folder)


def _roots_of_repository(folder: Path, dot_git: Path) -> Iterator[Path]:
    """Yield the possible roots for a folder with a `.git` file: a worktree, a submodule, or a separate git folder."""
    git_dir = _path_in(dot_git, folder)
    if not git_dir.is_dir():
        yield folder
        return
    commondir = git_dir / "commondir"
    common = _path_in(commondir, git_dir) if commondir.is_file() else git_dir
    core = {**_core_settings(common / "config"), **_core_settings(common / "config.worktree")}
    parent = common.parent
    if core.get("bare") == "true":
        # Its worktrees are its siblings in the folder of the project, which may have a `.git` file for it.
        is_hidden = common.name.startswith(".") and not is_shared(parent)
        yield parent if is_hidden or _refers_to(parent / ".git", common) else common
    elif "worktree" in core:  # a submodule
        yield (common / core["worktree"]).resolve()
    elif common.name == ".git":
        yield parent
    yield common  # a separate git folder does not know the worktree that it was made with
    if common == git_dir:
        yield folder


def _refers_to(dot_git: Path, git_dir: Path) -> bool:
    return dot_git.is_file() and _path_in(dot_git, dot_git.parent) == git_dir


def _core_settings(config: Path) -> Mapping[str, str]:
    """Return the section `core` of a repository's configuration, as far as it can be read."""
    from configparser import ConfigParser, Error  # only worktrees need it, and a start should be quick

    parser = ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    try:
        text = os.fsdecode(read_regular(config, LONGEST_CONFIG))
        parser.read_string("\n".join(line.strip() for line in text.splitlines()))
    except (OSError, Error, InvalidInput):
        return {}
    found = parser["core"] if parser.has_section("core") else {}
    return {name: (value or "true").strip('"') for name, value in found.items()}


def _path_in(file: Path, folder: Path) -> Path:
    """Return the path in one of git's own files, which need not be UTF-8. Raises InvalidInput, and OSError."""
    content = read_regular(file, LONGEST_LINE)
    path = os.fsdecode(content).removeprefix("gitdir:").strip()
    if not path or len(content) == LONGEST_LINE or "\0" in path:
        raise InvalidInput(f"{file} holds no path, as git writes it. {NAME_IT}", field="--db")
    return (folder / path).resolve()
