"""Claim tokens of named agents and terminals, kept in files for later commands.

Each claim has one small file, `.dibs/tokens/<agent>/<feature>-<digest>`, with mode 0600 in folders with mode 0700.
A rename puts the complete file in place. Two shells that share a name never write the same file, since each claim has
its own token. So the files need no lock.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dibs.regular_file import make_private, read_regular
from dibs.root_folder import state_folder
from dibs.session.issued_tokens import ClaimMemory, IssuedClaim
from dibs.session.terminal import foreground_terminal
from dibs.settings import Settings
from dibs_schema.next_step import Step
from dibs_schema.refusals import InvalidInput, TokenRequired
from dibs_schema.status import Kind

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs.database.transaction import Transaction

LONGEST_TOKEN = 100
_FILE = re.compile(r"(\d{1,10})-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A stored token, and the feature that it claims."""

    feature: int
    token: str


class TokenFiles(ClaimMemory):
    """Remembers the claims of one named agent in a folder; without a folder it stores nothing.

    `sent` is the token of every call, if the shell sets one. `failure` is why the last token could not be stored.
    """

    def __init__(self, folder: Path | None, sent: str | None = None, agent: str = "") -> None:
        self.folder = folder
        self._agent = agent
        self.failure: OSError | None = None
        self._sent = sent

    @classmethod
    def of(cls, settings: Settings, database: Database) -> TokenFiles:
        """Return the tokens of the agent that `settings` name, else of this terminal, for the project in that database.

        The folder is in the `.dibs/` that contains the database file or is next to it. For a database server, it is
        in the `.dibs/` of the root folder (see `find_root`).
        """
        sent = settings.token or settings.claim
        if settings.agent is not None:
            return cls(_folder(settings, database, settings.agent, settings.agent), sent, settings.agent)
        terminal = foreground_terminal() if settings.claim is None else None
        if terminal is None:
            return cls(None, sent)
        return TerminalTokens(_folder(settings, database, "terminal", f"\0{terminal}"), sent)

    def choose(self, feature: int, sent: str | None, kind: Kind) -> Callable[[Transaction], str | None]:  # noqa: ARG002
        """Return the function that chooses a call's token.

        It chooses the token that was sent, else a stored token that is still valid, else the newest stored token, whose
        claim is lost.
        """
        given = sent or self._sent
        stored = [] if given else [one for one in self.stored() if one.feature == feature]

        def chosen(tx: Transaction) -> str | None:
            from dibs.rules.diagnosis import holder_of

            if given is not None:
                return given
            valid = (one.token for one in stored if holder_of(tx, one.feature, one.token) is not None)
            return next(valid, stored[-1].token if stored else None)

        return chosen

    def proof(self, feature: int) -> Callable[[Transaction], str | None]:
        """Return the function that chooses the token that proves the author of a note."""
        return self.choose(feature, None, Kind.NOTE)

    def own(self, feature: int) -> Sequence[IssuedClaim]:
        """Return the claims of the feature whose tokens are stored."""
        return [IssuedClaim(one.feature, one.token, self._agent, 0) for one in self.stored() if one.feature == feature]

    def remember(self, feature: int, token: str, name: str, tool: str | None = None) -> None:  # noqa: ARG002 - the folder stands for the name
        """Store the token of a committed claim, or note in `failure` why that failed."""
        if self.folder is None:
            return
        try:
            make_private(self.folder, self.folder.parent.parent)
            unfinished = self.folder / f".{secrets.token_hex(8)}"
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(descriptor, token.encode())
            finally:
                os.close(descriptor)
            unfinished.rename(_file(self.folder, feature, token))
        except OSError as error:
            self.failure = error

    def end(self, feature: int, token: str | None, kind: Kind) -> None:  # noqa: ARG002 - the outcome does not matter
        """Remove the token of an ended claim. A file that cannot be removed does no harm."""
        if self.folder is not None and token is not None:
            with suppress(OSError):
                _file(self.folder, feature, token).unlink()

    def undo(self, token: str) -> None:
        """Remove the token of a claim that was taken back."""
        for one in self.stored():
            if one.token == token:
                self.end(one.feature, token, Kind.RELEASE)

    async def forget_ended(self, database: Database, features: Iterable[int] = ()) -> None:  # noqa: ARG002 - removes all
        """Remove the tokens of all claims that have ended."""
        stored = self._replaced()
        if not stored:
            return
        from dibs.rules.diagnosis import holder_of

        ended = await database.read(lambda tx: [one for one in stored if holder_of(tx, one.feature, one.token) is None])
        for one in ended:
            self.end(one.feature, one.token, Kind.EXPIRE)

    def _replaced(self) -> list[StoredToken]:
        """Return the tokens that the next claim makes superfluous, once their claims have ended."""
        return self.stored()

    def stored(self) -> list[StoredToken]:
        """Return every stored token, the oldest first."""
        found: list[tuple[int, StoredToken]] = []
        for file in _files_in(self.folder):
            name = _FILE.fullmatch(file.name)
            if name is not None:
                # Another shell has just ended the claim, another user owns the file, or it is no token's.
                with suppress(OSError, UnicodeDecodeError, InvalidInput):
                    stored = StoredToken(int(name[1]), read_regular(file, LONGEST_TOKEN, follow=False).decode("ascii"))
                    found.append((file.stat().st_mtime_ns, stored))
        return [stored for _, stored in sorted(found, key=lambda one: one[0])]


class TerminalTokens(TokenFiles):
    """Remembers the claims that were made without a name at one terminal. A call without a token means the only one.

    Nothing tells the programs of one terminal apart. So a call is never about one of several live claims, nor about a
    feature that was claimed here more than once: a late call and a call about the newer claim look the same.
    """

    def choose(self, feature: int, sent: str | None, kind: Kind) -> Callable[[Transaction], str | None]:
        """Return the function that chooses a call's token: the one sent, or the token of the only live claim.

        A lost claim counts, as long as it is stored. The function raises TokenRequired for a feature with several.
        """
        given = sent or self._sent
        stored = [] if given else self.stored()

        def chosen(tx: Transaction) -> str | None:
            from dibs.rules.diagnosis import holder_of

            own = [one for one in stored if one.feature == feature]
            if not own:
                return given
            if len(own) > 1:
                if kind is Kind.NOTE:  # anybody may write one
                    return None
                raise TokenRequired(
                    f"Feature {feature} was claimed at this terminal more than once, and the call does not say which "
                    "claim it belongs to.",
                    next=[Step(None, needs=("claim_token",))],
                    id=feature,
                )
            live = [one for one in stored if holder_of(tx, one.feature, one.token) is not None]
            return own[0].token if live == own or own[0] not in live else None

        return chosen

    def own(self, feature: int) -> Sequence[IssuedClaim]:  # noqa: ARG002 - another program may have made it
        """Return no claim: each claim without a name is a new one."""
        return ()

    def end(self, feature: int, token: str | None, kind: Kind) -> None:
        """Remove the token of an ended claim, and the folder after the last one: terminals come and go."""
        super().end(feature, token, kind)
        if self.folder is not None:
            with suppress(OSError):  # it has other files, or there is none
                self.folder.rmdir()

    def _replaced(self) -> list[StoredToken]:
        """Return the tokens that the next claim makes superfluous. Tokens of a feature claimed again are kept."""
        stored = self.stored()
        times = Counter(one.feature for one in stored)
        return [one for one in stored if times[one.feature] == 1]


def _folder(settings: Settings, database: Database, name: str, identity: str) -> Path:
    """Return the folder for the tokens of one agent or terminal, whose `identity` is unique."""
    home = state_folder(database.file, isolated=settings.isolated)
    place = database.label if database.file is None else os.path.realpath(database.file)
    digest = hashlib.sha256(f"{identity}\0{settings.project}\0{place}".encode()).hexdigest()[:16]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name)[:40]
    return home / "tokens" / f"{readable}-{digest}"


def _files_in(folder: Path | None) -> list[Path]:
    """Return the files in the folder; none if it is a symbolic link, is missing, or may not be read."""
    with suppress(OSError):
        if folder is not None and not folder.is_symlink() and not folder.parent.is_symlink():
            return list(folder.iterdir())
    return []


def _file(folder: Path, feature: int, token: str) -> Path:
    return folder / f"{feature}-{hashlib.sha256(token.encode()).hexdigest()[:16]}"
