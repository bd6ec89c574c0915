"""The verify commands that this user has allowed on this machine.

A database can be shared, copied, restored, or come with a repository, and whoever can write to it can write a command into
it. So a command runs only where its user has allowed it: for each, a file in the user's own configuration, outside of every
project, names the project's generation and the command by a digest. A copy of the project has another generation.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from dibs.platform.users import configuration_folder


@dataclass(frozen=True, slots=True)
class AllowedCommands:
    """The allowed commands, each by one file in `folder`, which holds the command for a person to read."""

    folder: Path | None

    @classmethod
    def of_user(cls) -> AllowedCommands:
        """Return the allowed commands of this process's user; without a home folder there are none."""
        home = configuration_folder()
        return cls(home / "dibs" / "verify-commands" if home is not None else None)

    def allow(self, generation: str, command: str) -> None:
        """Allow a command for the project with this generation. Raises OSError."""
        if self.folder is None:
            raise FileNotFoundError(2, "no home folder is known, in which to store what you allow", "~")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file(self.folder, generation, command).write_text(command + "\n", encoding="utf-8")

    def allows(self, generation: str, command: str) -> bool:
        """Return whether a command may run for the project with this generation."""
        return self.folder is not None and self._file(self.folder, generation, command).is_file()

    @staticmethod
    def _file(folder: Path, generation: str, command: str) -> Path:
        return folder / hashlib.sha256(f"{generation}\0{command}".encode()).hexdigest()
