"""The git worktrees of attempts: each begins at the base's present head, on its own branch."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dibs.work.git import GitError, git, succeeds
from dibs_schema.refusals import InvalidInput

Keep = Literal["failed", "always", "never"]
STALE_LOCKS = ("index.lock", "HEAD.lock")


@dataclass(frozen=True, slots=True)
class Worktree:
    """A worktree, its branch, and the commit that it began with."""

    folder: Path
    branch: str
    start: str


@dataclass(frozen=True, slots=True)
class Repository:
    """The repository that `dibs work` was started in.

    `checkout` is its checkout, whose HEAD is the base unless `base` names another; `within` is the folder in it where
    commands run. `home` is the folder of the worktrees.
    """

    checkout: Path
    within: Path
    home: Path
    base: str

    @classmethod
    async def find(cls, folder: Path, home: Path, base: str | None) -> Repository:
        """Return the repository of a folder. Raises InvalidInput if worktrees cannot be made there."""
        try:
            if await git(folder, "rev-parse", "--is-bare-repository") == "true":
                checkout, within = Path(await git(folder, "rev-parse", "--absolute-git-dir")), Path()
            else:
                checkout = Path(await git(folder, "rev-parse", "--show-toplevel"))
                within = Path(await git(folder, "rev-parse", "--show-prefix"))
        except GitError as error:
            raise InvalidInput(f"--worktrees needs a git repository here: {error}.", field="--worktrees") from None
        found = cls(checkout, within, home, base or "HEAD")
        try:
            await found.head()
        except GitError:
            needs = "a branch or commit that exists" if base else "a first commit in this repository"
            raise InvalidInput(f"--worktrees needs {needs} to begin with.", field="--base") from None
        try:
            await git(checkout, "var", "GIT_AUTHOR_IDENT")
        except GitError as error:
            raise InvalidInput(f"git does not know who commits: {error}", field="--worktrees") from None
        return found

    async def head(self) -> str:
        """Return the commit at the base's head now. Raises GitError."""
        return await git(
            self.checkout, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{self.base}^{{commit}}"
        )

    async def is_dirty(self) -> bool:
        """Return whether the checkout has changes that are not committed."""
        with suppress(GitError):  # a bare repository has no checkout
            return bool(await git(self.checkout, "status", "--porcelain", "--untracked-files=no"))
        return False

    async def plan(self, feature: int) -> Worktree:
        """Return a new worktree for a feature, whose folder and branch do not exist yet. Raises GitError."""
        start = await self.head()
        prefix = "dibs-" if await self._has_branch("dibs") else "dibs/"
        number = 1
        while True:
            name = f"{feature}" if number == 1 else f"{feature}-{number}"
            folder = self.home / name
            if not folder.exists() and not folder.is_symlink() and not await self._has_branch(prefix + name):
                return Worktree(folder, prefix + name, start)
            number += 1

    async def _has_branch(self, name: str) -> bool:
        return await succeeds(self.checkout, "show-ref", "--verify", "--quiet", f"refs/heads/{name}")

    async def add(self, one: Worktree) -> str | None:
        """Make a planned worktree, with its submodules. Returns what git said if it has no submodules. Raises GitError."""
        await git(self.checkout, "worktree", "add", "--quiet", "-b", one.branch, str(one.folder), one.start)
        if (one.folder / ".gitmodules").exists():
            try:
                await git(one.folder, "submodule", "--quiet", "update", "--init", "--recursive")
            except GitError as error:
                return str(error)
        return None

    async def take_up(self, one: Worktree) -> bool:
        """Remove the locks that a killed process left in a worktree, and return whether the worktree is intact."""
        try:
            own = Path(await git(one.folder, "rev-parse", "--absolute-git-dir"))
            common = Path(await git(one.folder, "rev-parse", "--path-format=absolute", "--git-common-dir"))
        except GitError:
            return False
        if own == common or not await self._has_branch(one.branch):
            return False
        for lock in (*(own / name for name in STALE_LOCKS), common / "refs" / "heads" / f"{one.branch}.lock"):
            lock.unlink(missing_ok=True)
        return await succeeds(one.folder, "rev-parse", "--verify", "--quiet", "HEAD")

    async def to_branch(self, one: Worktree) -> None:
        """Let the worktree's branch have what was committed on another one, or on none. Raises GitError."""
        reference = f"refs/heads/{one.branch}"
        if await succeeds(one.folder, "symbolic-ref", "--quiet", "HEAD") and (
            await git(one.folder, "symbolic-ref", "HEAD") == reference
        ):
            return
        if await self._has_branch(one.branch) and not await succeeds(
            one.folder, "merge-base", "--is-ancestor", reference, "HEAD"
        ):
            raise GitError(f"HEAD of the worktree is no longer {one.branch}, and lacks commits of it")
        await git(one.folder, "checkout", "--quiet", "-B", one.branch)

    async def commit(self, one: Worktree, subject: str, trailer: str) -> str:
        """Commit what is not committed in a worktree, and return the commit at its head. Raises GitError."""
        await git(one.folder, "add", "--all")
        if not await succeeds(one.folder, "diff", "--cached", "--quiet"):
            await git(one.folder, "commit", "--quiet", "--message", f"{subject}\n\n{trailer}")
        return await git(one.folder, "rev-parse", "HEAD")

    async def is_changed(self, one: Worktree) -> bool:
        """Return whether a worktree has changes that are not committed."""
        return bool(await git(one.folder, "status", "--porcelain"))

    async def has_work(self, one: Worktree) -> bool:
        """Return whether a worktree has commits or changes of its own."""
        with suppress(GitError):
            heads = {await git(one.folder, "rev-parse", "HEAD")}
            if await self._has_branch(one.branch):  # the agent may have gone to another one
                heads.add(await git(one.folder, "rev-parse", f"refs/heads/{one.branch}"))
            return heads != {one.start} or await self.is_changed(one)
        return False

    async def remove(self, one: Worktree, *, with_branch: bool = False) -> None:
        """Remove a worktree, and its branch if the base has all its commits or `with_branch`. Raises GitError."""
        if not await succeeds(self.checkout, "worktree", "remove", "--force", "--force", str(one.folder)):
            shutil.rmtree(one.folder, ignore_errors=True)  # half made, or git does not know it
            await git(self.checkout, "worktree", "prune")
        if await self._has_branch(one.branch) and (with_branch or await self._is_merged(one)):
            await git(self.checkout, "update-ref", "-d", f"refs/heads/{one.branch}")

    async def _is_merged(self, one: Worktree) -> bool:
        return await succeeds(self.checkout, "merge-base", "--is-ancestor", one.branch, await self.head())
