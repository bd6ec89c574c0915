"""The settings of a process, read once at its start: from flags, then the environment, then defaults."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, StringConstraints, ValidationError

from dibs.client_session import named_session
from dibs.platform.file_systems import plain_path
from dibs.root_folder import BACKLOG, current_folder, find_root, has_backlog, refuse_new_backlog
from dibs_schema.refusals import InvalidInput
from dibs_schema.roles import Role
from dibs_schema.sanitize import clean
from dibs_schema.validation import first_problem

PREFIX = "DIBS_"
UNEXPANDED = re.compile(r"\$\{|\{env:|^\$\w|^%\w+%")
"""A variable, or its beginning, that a client should have replaced in its configuration."""
ACCESS_TOKEN = "DIBS_ACCESS_TOKEN"  # noqa: S105 - a variable's name
"""The variable from which clients over HTTP take their access token. No process of Dibs reads it."""
UNNAMED = "default"
"""The name of a file's project if none is named."""
OTHERS = ("DIBS_TEST_", "DIBS_EVENT_", "DIBS_FEATURE_", "DIBS_BRANCH", "DIBS_TRAILER", ACCESS_TOKEN)
"""How variables begin that are no settings: of the tests, and of the commands of `dibs follow --run` and `dibs work`."""
SECRET = ("token", "claim")
"""The settings whose values no message shows."""

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
        UNNAMED,
        description="The project served; on a server, if none is named, the root folder's name. A file's `default` is shown "
        "by that name, too.",
    )
    agent: Name | None = Field(None, description="The name that claims are made under.")
    token: Token | None = Field(None, description="The claim token that shell commands send.")
    claim: Token | None = Field(
        None, description="The token of a claim that somebody made for this agent, who claims nothing else."
    )
    role: Role = Field(Role.ALL, description="Which tools, and which commands, are offered.")
    lease: Seconds = Field(120, description="Seconds for which a claim outlives its server.")
    detached_lease: Seconds = Field(
        1800, description="Seconds for which a claim lasts if no connection proves that its holder is alive."
    )
    hold_limit: Seconds = Field(
        7200, description="Renewal stops after this many seconds without a call about the feature."
    )
    patience: Annotated[float, Field(gt=0, le=45)] = Field(
        20, description="Seconds for which a call waits for the database."
    )
    synchronous: Literal["FULL", "NORMAL"] = Field(
        "FULL", description="NORMAL is faster, and a power cut may undo the last moments."
    )
    log: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("WARNING", description="What goes to standard error.")
    isolated: bool = Field(default=False, description="Give this git worktree a backlog of its own.")
    _guesses_project: bool = PrivateAttr(default=False)
    _client_session: str | None = PrivateAttr(default=None)
    _folder: Callable[[], Path] | None = PrivateAttr(default=None)

    @classmethod
    def read(
        cls,
        flags: Mapping[str, Any],
        environ: Mapping[str, str] = os.environ,
        *,
        folder: Callable[[], Path] = current_folder,
    ) -> Settings:
        """Combine `flags` (None where not given) with the environment, for the project of the folder that `folder` returns.

        Raises InvalidInput, whose `field` names the unknown or malformed flag or variable.
        """
        values: dict[str, Any] = {}
        origin: dict[str, str] = {}
        for variable, text in environ.items():
            if not variable.startswith(PREFIX) or variable.startswith(OTHERS):
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
        for name, value in values.items():
            _refuse_unexpanded(origin[name], value)
        guesses = "project" not in values and is_url(str(values.get("db", "")).strip())
        if guesses:
            values["project"] = _guessed_project(folder(), isolated=values.get("isolated") in (True, "1", "true"))
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            place, _, message = first_problem(error)
            name = str(place[0])
            field = origin.get(name, name)
            shown = "" if name in SECRET else f"={values.get(name)!r}"
            raise InvalidInput(f"{field}{shown}: {message}.", field=field) from None
        settings._guesses_project, settings._folder = guesses, folder  # noqa: SLF001 - attributes of this class
        settings._client_session = named_session(environ)  # noqa: SLF001
        return settings

    def in_folder(self, folder: Path) -> Settings:
        """Return these settings for the project of another folder. Raises InvalidInput, as `read` does."""
        project = _guessed_project(folder, isolated=self.isolated) if self.guesses_project else self.project
        moved = self.model_copy(update={"project": project})
        moved._folder = lambda: folder  # noqa: SLF001 - an attribute of this class
        return moved

    @property
    def folder(self) -> Path:
        """The folder that is served. Raises InvalidInput if it has been deleted."""
        return (self._folder or current_folder)()

    @property
    def client_session(self) -> str | None:
        """The id of the agent's session at its client, which outlives its servers, or None if the client names none."""
        return self._client_session

    @property
    def guesses_project(self) -> bool:
        """Whether nobody named the project, so that it has the name of the root folder."""
        return self._guesses_project

    @property
    def is_server_url(self) -> bool:
        """Whether `db` names a database server and not a file."""
        return self.db is not None and is_url(self.db)

    def database_file(self) -> Path:
        """Return the SQLite file to serve: `db`, else the backlog of the root folder. Raises InvalidInput."""
        if self.db is not None:
            return expanded(self.db)
        root = find_root(self.folder, isolated=self.isolated)
        if not has_backlog(root):
            refuse_new_backlog(root, isolated=self.isolated)
        return root / BACKLOG

    def place(self) -> dict[str, str]:
        """Return the variables that lead a process in any folder to the same backlog."""
        db = self.db if self.is_server_url else str(self.database_file())
        return {f"{PREFIX}DB": str(db), f"{PREFIX}PROJECT": self.project}


def is_url(database: str) -> bool:
    """Return whether a database is named by a URL, whose scheme has more letters than a drive of Windows."""
    return "://" in database and database[1:4] != "://"


def _refuse_unexpanded(name: str, value: Any) -> None:
    if isinstance(value, str) and UNEXPANDED.search(value):
        raise InvalidInput(
            f"{name}={value!r}: your client has not replaced this variable. Write the value itself, or the variable in "
            "your client's form: ${NAME} for Claude Code and Gemini CLI, ${env:NAME} for Cursor and VS Code, {env:NAME} "
            "for opencode. Codex has none.",
            field=name,
        )


def expanded(path: str) -> Path:
    """Return the absolute path, with its `~` replaced.

    Raises InvalidInput where no home folder is known, as in many containers, or the working folder has been deleted.
    """
    try:
        file = Path(plain_path(path)).expanduser()
    except RuntimeError:
        raise InvalidInput(f"{path}: no such home folder is known. Name the whole path.", field="--db") from None
    return file if file.is_absolute() else current_folder() / file


def _guessed_project(folder: Path, *, isolated: bool) -> str:
    """Return the default name of a folder's project on a server. Raises InvalidInput."""
    root = find_root(folder, isolated=isolated)
    refuse_new_backlog(
        root, isolated=isolated, way_on="Name the project with --project or DIBS_PROJECT.", field="--project"
    )
    return project_of(root)


def project_of(root: Path) -> str:
    """Return the default name of a root folder's project on a server."""
    return clean(root.name)[:100] or UNNAMED


def shown_project(name: str, database: str) -> str:
    """Return a project's displayed name. An unnamed project in a file is shown by the name of its root folder.

    `database` is the label of the database. A file outside a `.dibs` folder has no root folder; its own name is shown.
    """
    file = Path(database)
    if name != UNNAMED or is_url(database):
        return name
    return project_of(file.parent.parent if file.parent.name == BACKLOG.parent.name else file.with_suffix(""))


def forget_settings() -> None:
    """Remove the settings of Dibs from the environment, so that child processes start with the defaults."""
    for field in Settings.model_fields:
        os.environ.pop(PREFIX + field.upper(), None)
