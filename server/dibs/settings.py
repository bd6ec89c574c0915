"""The settings of a process, read once at its start: from flags, then the environment, then defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, StringConstraints, ValidationError

from dibs.regular_file import read_regular
from dibs_schema.refusals import InvalidInput
from dibs_schema.roles import Role
from dibs_schema.sanitize import clean
from dibs_schema.validation import first_problem

PREFIX = "DIBS_"
LONGEST_LINE = 4096
"""Bytes of a path, with which no system call works any more. Source: PATH_MAX of Linux."""

Seconds = Annotated[float, Field(gt=0, le=7 * 86_400, allow_inf_nan=False)]
# Not imported from dibs_schema.inputs, whose models would delay the start of every command.
CLEAN = BeforeValidator(lambda value: clean(value) if isinstance(value, str) else value)
Name = Annotated[str, StringConstraints(min_length=1, max_length=100), CLEAN]
Token = Annotated[str, StringConstraints(min_length=1, max_length=20, to_lower=True), CLEAN]


def _decodable(path: Any) -> Any:
    """Return the value. Raises ValueError for a path that is not UTF-8, whose other bytes are lone surrogates here."""
    if isinstance(path, str):
        try:
            path.encode()
        except UnicodeEncodeError:
            raise ValueError("the path is not UTF-8") from None
    return path


class Settings(BaseModel):
    """The settings of one process. Durations are in seconds; each field is also `DIBS_<NAME>`."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    db: Annotated[str, BeforeValidator(_decodable)] | None = Field(
        None, min_length=1, description="A path, or a postgresql:// URL."
    )
    project: Name = Field(
        "default", description="The project served; on a server, if none is named, the root folder's name."
    )
    agent: Name | None = Field(None, description="The name that claims are made under.")
    token: Token | None = Field(None, description="The claim token that shell commands send.")
    role: Role = Field(Role.ALL, description="Which tools, and which commands, are offered.")
    lease: Seconds = Field(120, description="How long a claim outlives its server.")
    detached_lease: Seconds = Field(
        1800, description="How long a claim lasts if no connection proves that its holder is alive."
    )
    hold_limit: Seconds = Field(7200, description="Renewal stops after this long without a call about the feature.")
    patience: Annotated[float, Field(gt=0, le=45)] = Field(20, description="How long a call waits for the database.")
    synchronous: Literal["FULL", "NORMAL"] = Field(
        "FULL", description="NORMAL is faster, and a power cut may undo the last moments."
    )
    log: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("WARNING", description="What goes to standard error.")
    isolated: bool = Field(default=False, description="Give this git worktree a backlog of its own.")
    _guesses_project: bool = PrivateAttr(default=False)

    @classmethod
    def read(cls, flags: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
        """Combine `flags` (None where not given) with the environment.

        Raises InvalidInput, whose `field` names the unknown or malformed flag or variable.
        """
        values: dict[str, Any] = {}
        origin: dict[str, str] = {}
        for variable, text in environ.items():
            if not variable.startswith(PREFIX) or variable.startswith("DIBS_TEST_"):
                continue
            name = variable.removeprefix(PREFIX).lower()
            if name not in cls.model_fields:
                known = ", ".join(PREFIX + field.upper() for field in cls.model_fields)
                raise InvalidInput(f"{variable} is not a setting of Dibs. Known are {known}.", field=variable)
            if text:
                values[name], origin[name] = text, variable
        for name, value in flags.items():
            if value is not None:
                values[name], origin[name] = value, "--" + name.replace("_", "-")
        guesses = "project" not in values and "://" in str(values.get("db", ""))
        if guesses:
            root = find_root(current_folder(), isolated=values.get("isolated") in (True, "1", "true"))
            values["project"] = project_of(root)
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            place, _, message = first_problem(error)
            name = str(place[0])
            field = origin.get(name, name)
            raise InvalidInput(f"{field}={values.get(name)!r}: {message}.", field=field) from None
        settings._guesses_project = guesses  # noqa: SLF001 - an attribute of this class
        return settings

    @property
    def guesses_project(self) -> bool:
        """Whether nobody named the project, so that it has the name of the root folder."""
        return self._guesses_project

    @property
    def is_server_url(self) -> bool:
        """Whether `db` names a database server and not a file."""
        return self.db is not None and "://" in self.db

    def database_file(self) -> Path:
        """Return the SQLite file to serve: `db`, else `<root>/.dibs/features.db` (see `find_root`)."""
        if self.db is not None:
            return expanded(self.db)
        return find_root(current_folder(), isolated=self.isolated) / ".dibs" / "features.db"


def expanded(path: str) -> Path:
    """Return the path with its `~` replaced. Raises InvalidInput where no home folder is known, as in many containers."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InvalidInput(f"{path}: no such home folder is known. Name the whole path.", field="--db") from None


def project_of(root: Path) -> str:
    """Return the name of a root folder's project on a server, if none is named."""
    return clean(root.name)[:100] or str(Settings.model_fields["project"].default)


def forget_settings() -> None:
    """Remove the settings of Dibs from the environment, so that child processes start with the defaults."""
    for field in Settings.model_fields:
        os.environ.pop(PREFIX + field.upper(), None)


def current_folder() -> Path:
    """Return the current folder. Raises InvalidInput if it was deleted, as by `git worktree remove`."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise InvalidInput(
            "The current folder has been deleted. Change to one that exists, or name the backlog with --db.",
            field="--db",
        ) from None


def find_root(folder: Path, *, isolated: bool = False) -> Path:
    """Return the folder whose `.dibs/` is shared by the agents that work in `folder`.

    In a git repository it is the common root, so that all worktrees share one backlog; `isolated` stops at the
    worktree. Elsewhere it is the nearest folder upward that has a backlog, else `folder` itself.
    Source: gitrepository-layout(5) for `.git` files and `commondir`.
    """
    lineage = [folder, *folder.parents]
    try:
        for candidate in lineage:
            dot_git = candidate / ".git"
            if dot_git.is_dir():
                return candidate
            if dot_git.is_file():
                return candidate if isolated else _common_root(candidate, dot_git)
        return next((one for one in lineage if (one / ".dibs" / "features.db").exists()), folder)
    except OSError as error:
        raise InvalidInput(
            f"{error.filename} cannot be read: {error.strerror}. Name the backlog with --db or DIBS_DB.", field="--db"
        ) from error


def _common_root(worktree: Path, dot_git: Path) -> Path:
    git_dir = _path_in(dot_git, worktree)
    commondir = git_dir / "commondir"
    if not commondir.is_file():  # a submodule: a repository of its own
        return worktree
    common = _path_in(commondir, git_dir)
    return common.parent if common.name == ".git" else common  # a bare repository has no work tree of its own


def _path_in(file: Path, folder: Path) -> Path:
    """Return the path that a file of git holds, which need not be UTF-8. Raises InvalidInput, and OSError."""
    content = read_regular(file, LONGEST_LINE)
    path = os.fsdecode(content).removeprefix("gitdir:").strip()
    if not path or len(content) == LONGEST_LINE or "\0" in path:
        raise InvalidInput(
            f"{file} holds no path, as git writes it. Name the backlog with --db or DIBS_DB.", field="--db"
        )
    return (folder / path).resolve()
