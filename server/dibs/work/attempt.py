"""One attempt of an agent at a feature: the worktree, the command, the --then command, and the outcome."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dibs.client import ServerGone
from dibs.platform.process_groups import NOT_STARTED
from dibs.work import git
from dibs.work.commands import Built, Commands, End
from dibs.work.process import described
from dibs.work.state import AgentState, Record
from dibs.work.tasks import uninterrupted
from dibs_schema.refusals import Refusal
from dibs_schema.sanitize import clean
from dibs_schema.status import OUTCOMES, Kind

if TYPE_CHECKING:
    from dibs.work.loop import Loop
    from dibs.work.worktrees import Worktree
    from dibs_schema.answers import Claimed

RATE_LIMITED = 75
"""The exit status of a command that should be tried again later. Source: EX_TEMPFAIL of sysexits.h."""


class Unworkable(Exception):  # noqa: N818 - it names what has happened
    """No attempt can succeed here: the command cannot be started, or no worktree can be made."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class Attempt:
    """One attempt, from its claim to its outcome, which sets `over`."""

    def __init__(self, loop: Loop, state: AgentState, claimed: Claimed) -> None:
        self.loop, self.state = loop, state
        self.feature, self.token = claimed.feature, claimed.claim.token
        self.commands = Commands(loop, state, self.feature, self.token)
        self.over = asyncio.Event()
        self._title = f"{self.feature.id} {self.feature.name[:60]}"

    async def run(self) -> None:
        """Build the feature and end the claim. A cancellation gives it back. Raises Unworkable."""
        loop, earlier = self.loop, self.loop.active
        try:
            for one in self.feature.dependencies:  # one that has passed itself may still have to be merged
                if one.id in earlier:
                    await earlier[one.id].over.wait()
            loop.active[self.feature.id] = self
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
        loop, shelved = self.loop, self.loop.shelf.pop(self.feature.id, None)
        assert loop.repository is not None, "the caller has asked"
        async with loop.making_worktrees:
            if shelved is not None and await loop.repository.take_up(shelved):
                self.state.write(self.state.attempt.made(shelved, "running"))
                return
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
        problem = await self.commands.then(built)
        if problem is not None:
            await self._fail(problem, built)
            return
        try:
            await self.loop.backlog.mark_passing(self.feature.id, self.token, self.state.attempt.evidence)
        except Refusal as refusal:
            if refusal.retryable:
                raise
            await self._put_back(f"the pass was refused: {refusal.message}")
            return
        self.loop.back_off.succeeded()
        await self._end("passed", f"passed after {built.seconds:.0f} s" if built is not None else "passed", built)

    async def _evidence(self, built: Built) -> dict[str, Any]:
        loop, worktree = self.loop, self.state.attempt.worktree
        ran = {"command": " ".join(loop.options.command)[:500], "exit_code": 0}
        evidence: dict[str, Any] = {"commands": [ran], "usage": built.usage()}
        if (text := built.text()) != "":
            evidence["summary"] = text
        if loop.repository is not None and worktree is not None and loop.options.commit:
            subject = self.feature.name.splitlines()[0]
            evidence["commit"] = await loop.repository.commit(worktree, subject, self.commands.trailer)
        return evidence

    async def _accept(self, end: End, built: Built | None) -> None:
        """Accept an outcome that the command has recorded itself, or the loss of the claim."""
        if not end.is_own:
            await self._end("lost", "the claim was lost, so the command was ended", built)
            return
        outcome = OUTCOMES[end.kind]
        if outcome == "passed":
            problem = None
            try:
                evidence = await self._evidence(built) if built is not None else None
                self.state.change(phase="built", evidence=evidence)
                problem = await self.commands.then(built)
            except git.GitError as error:
                problem = f"what it left could not be committed: {error}"
            if problem is not None:  # with the token of the pass, this reports that it does not work
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
        with suppress(Refusal, ServerGone):
            await self.loop.backlog.put_back(self.feature.id, why[:200])
        worktree = self.state.record.worktree if self.state.record is not None else None
        repository = self.loop.repository
        if shelve and worktree is not None and repository is not None and await repository.has_work(worktree):
            self.loop.shelf[self.feature.id] = worktree
            self.state.forget()
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
