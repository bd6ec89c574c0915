"""One attempt of an agent at a feature: the worktree, the command, the --then command, and the outcome."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dibs.client import ServerGone
from dibs.platform.process_groups import NOT_STARTED
from dibs.work import git
from dibs.work.commands import Built, Commands, End
from dibs.work.passing import CANNOT_RUN, verify_and_pass
from dibs.work.process import described
from dibs.work.state import AgentState, Record
from dibs.work.tasks import uninterrupted
from dibs_schema.refusals import Refusal
from dibs_schema.sanitize import clean
from dibs_schema.status import OUTCOMES, Kind

if TYPE_CHECKING:
    from dibs.work.loop import Loop
    from dibs.work.worktrees import Worktree
    from dibs_schema.answers import Feature, Work

RATE_LIMITED = 75
"""The exit status of a command that should be tried again later. Source: EX_TEMPFAIL of sysexits.h."""


class Unworkable(Exception):  # noqa: N818 - it names what has happened
    """No attempt can succeed here: the command cannot be started, or no worktree can be made."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class Attempt:
    """One attempt, from its claim to its outcome, which sets `over`. There is no token once the claim has ended."""

    def __init__(self, loop: Loop, state: AgentState, feature: Work | Feature, token: str | None) -> None:
        self.loop, self.state = loop, state
        self.feature, self.token = feature, token
        self.commands = Commands(loop, state, self.feature, self.token)
        self.over = asyncio.Event()
        self._title = f"{self.feature.id} {self.feature.name[:60]}"

    async def run(self) -> None:
        """Build the feature and end the claim. A cancellation gives it back. Raises Unworkable."""
        loop, earlier = self.loop, dict(self.loop.active)
        loop.active[self.feature.id] = self
        try:
            await loop.back_off.wait()  # this agent may have waited for work when the pause began
            for one in self.feature.dependencies:  # one that has passed itself may still have to be merged
                if one.id in earlier:
                    await earlier[one.id].over.wait()
            await uninterrupted(self._prepare())
            record = self.state.attempt
            built = None if record.phase in ("built", "merged") else await self.commands.build()
        except asyncio.CancelledError:
            await uninterrupted(self._put_back("the loop was stopped"))
            raise
        try:
            await uninterrupted(self._finish(built))
        finally:
            self.over.set()
            loop.active.pop(self.feature.id, None)

    async def finish_pass(self) -> None:
        """Do what follows the pass that the command of a killed loop has made itself."""
        await self._accept(End(Kind.PASS, is_own=True), None)

    # -- before the command -----------------------------------------------------------------------

    async def _prepare(self) -> None:
        """Continue the attempt that a killed loop has left, or begin a new one. Raises Unworkable."""
        loop, record = self.loop, self.state.record
        if record is not None and await self._is_mine(record):
            await loop.say(f"{self.state.agent}: goes on with {self._title}")
            return
        if record is not None:
            await loop.clear(self.state)
        self.state.write(Record(self.feature.id, self.feature.attempts))
        await loop.say(f"{self.state.agent}: {self._title}")
        if loop.repository is not None:
            try:
                await self._make_worktree()
            except git.GitError as error:
                await self._put_back("no worktree could be made")
                raise Unworkable(f"no worktree could be made for feature {self.feature.id}: {error}") from error

    async def _make_worktree(self) -> None:
        loop, shelved = self.loop, self.loop.shelf.find(self.feature.id)
        assert loop.repository is not None, "the caller has asked"
        async with loop.making_worktrees:
            if shelved is not None and await loop.repository.take_up(shelved):
                self.state.write(self.state.attempt.made(shelved, "running"))
                loop.shelf.take(self.feature.id)
                return
            loop.shelf.take(self.feature.id)
            worktree = await loop.repository.plan(self.feature.id)
            self.state.write(self.state.attempt.made(worktree, "planned"))
            notice = await loop.repository.add(worktree)
        self.state.change(phase="running")
        if notice is not None:
            await loop.say(f"{self.state.agent}: the worktree has no submodules: {notice}")

    async def _is_mine(self, record: Record) -> bool:
        """Return whether a record belongs to this very claim, which was resumed, and its worktree is intact."""
        if (record.feature, record.attempt) != (self.feature.id, self.feature.attempts):
            return False
        events = (await self.loop.backlog.history(self.feature.id, limit=20)).events
        if next((one.kind for one in events if one.kind in (Kind.CLAIM, Kind.RESUME)), None) != Kind.RESUME:
            return False
        if self.loop.repository is None:
            return True
        worktree = record.worktree
        return worktree is not None and record.phase != "planned" and await self.loop.repository.take_up(worktree)

    # -- after the command ------------------------------------------------------------------------

    async def _finish(self, built: Built | None) -> None:
        """End the claim with the outcome of the command. Raises Unworkable, and Busy if the database stays locked."""
        end = await self.commands.end_of_claim()
        if end is not None:
            await self._accept(end, built)
        elif built is None or (built.status == 0 and built.late is None):
            await self._pass(built)
        elif built.late is None and built.status == RATE_LIMITED:
            pause = self.loop.back_off.rate_limited()
            await self._put_back(f"rate limit; the next attempt is in about {pause:.0f} s", shelve=True)
        elif built.late is None and built.status in NOT_STARTED:
            await self._put_back("the command could not be started")
            raise Unworkable(f"{self.loop.options.command[0]} {described(built.status)}", built.status)
        else:
            how = built.late or described(built.status)
            await self._fail(f"{self.loop.options.command[0]}: {how}", built)

    async def _pass(self, built: Built | None) -> None:
        if built is not None:
            try:
                self.state.change(phase="built", evidence=await self._evidence(built))
            except git.GitError as error:
                await self._fail(f"what it left could not be committed: {error}", built)
                return
        try:
            assert self.token is not None, "the claim is valid"
            problem = await verify_and_pass(self.loop.backlog, self.commands, self.state, self.token)
        except Refusal as refusal:
            if refusal.retryable:
                raise
            if refusal.details.get("cause") == CANNOT_RUN:
                await self._put_back("the verify command cannot run here")
                raise Unworkable(refusal.fact) from refusal
            await self._put_back(f"the pass was refused: {refusal.message}")
            return
        if problem is not None:
            await self._fail(problem, built)
            return
        self.loop.back_off.succeeded()
        await self._end("passed", f"passed after {built.seconds:.0f} s" if built is not None else "passed", built)

    async def _evidence(self, built: Built) -> dict[str, Any]:
        ran = {"command": " ".join(self.loop.options.command)[:500], "exit_code": 0}
        evidence: dict[str, Any] = {"commands": [ran], "usage": built.usage()}
        if (text := built.text()) != "":
            evidence["summary"] = text
        commit = await self._commit()
        return evidence if commit is None else evidence | {"commit": commit}

    async def _commit(self) -> str | None:
        """Let the branch of the worktree have all the work, and return its commit, unless --no-commit. Raises GitError."""
        loop, worktree = self.loop, self.state.attempt.worktree
        if loop.repository is None or worktree is None:
            return None
        await loop.repository.to_branch(worktree)
        if not loop.options.commit:
            return None
        return await loop.repository.commit(worktree, self.feature.name.splitlines()[0], self.commands.trailer)

    async def _accept(self, end: End, built: Built | None) -> None:
        """Accept an outcome that the command has recorded itself, or the loss of the claim."""
        if not end.is_own:
            await self._end("lost", "the claim was lost, so the command was ended", built)
            return
        outcome = OUTCOMES[end.kind]
        if outcome == "passed":
            problem = None
            try:
                if self.state.attempt.phase == "running":
                    await self._commit()
                    self.state.change(phase="built")
                problem = await self.commands.then()
            except git.GitError as error:
                problem = f"what it left could not be committed: {error}"
            if problem is not None:  # after the pass, this reports that it does not work
                await self._fail(problem, built)
                return
        await self._end(outcome, f"{outcome}, by the command itself", built)

    async def _fail(self, problem: str, built: Built | None) -> None:
        text = "" if built is None or not built.text() or built.text() in problem else f": {built.text()}"
        reason = clean(f"{problem}{text}")[:2_000]
        usage = None if built is None else {"usage": built.usage()}
        try:
            await self.loop.backlog.mark_failing(self.feature.id, reason, self.token, evidence=usage)
        except Refusal as refusal:
            if refusal.retryable:
                raise
            await self._put_back(f"the failure was refused: {refusal.message}")
            return
        await self._end("failed", f"failed: {problem.splitlines()[0][:200]}", built)

    async def _put_back(self, why: str, *, shelve: bool = False) -> None:
        """Give the claim back, so that it counts as no attempt: nothing is wrong with the feature."""
        worktree = self.state.record.worktree if self.state.record is not None else None
        repository = self.loop.repository
        if shelve and worktree is not None and repository is not None and await repository.has_work(worktree):
            self.loop.shelf.put(self.feature.id, worktree)
            self.state.forget()
        with suppress(Refusal, ServerGone):
            await self.loop.backlog.put_back(self.feature.id, why[:200])
        await self._end("put back", f"put back: {why}", None)
        self.over.set()
        self.loop.active.pop(self.feature.id, None)

    async def _end(self, outcome: str, text: str, built: Built | None) -> None:
        self.loop.summary.add(outcome, built.usage() if built is not None else {})
        await self.loop.say(f"{self.state.agent}: {self._title}: {text}")
        if self.state.record is not None:
            await self.loop.dispose(self.state, passed=outcome == "passed")


def kept(worktree: Worktree) -> str:
    """Return the description of a kept worktree for a person."""
    return f"{worktree.folder} (branch {worktree.branch})"
