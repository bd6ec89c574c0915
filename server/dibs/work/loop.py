"""The loop: agents that claim features while there is work, and how they end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dibs.cli.options import NOTHING_FOR_AGENTS
from dibs.client import Backlog
from dibs.platform.file_locks import unlock
from dibs.platform.process_groups import Lifeline
from dibs.platform.signals import ENDING, received
from dibs.work.attempt import Attempt, Unworkable, kept
from dibs.work.git import GitError
from dibs.work.output import Screen
from dibs.work.progress import BackOff, Summary
from dibs.work.shelf import Shelf
from dibs.work.state import AgentState, LockedFile, surplus
from dibs.work.tasks import uninterrupted
from dibs.work.worktrees import Keep, Repository, Worktree
from dibs_schema.answers import Idle
from dibs_schema.refusals import AlreadyHolding, NotFound, Refusal
from dibs_schema.status import OUTCOMES, Kind

WAIT = 45.0
"""Seconds for which one claim waits for work."""
RETRY_FOR = 600.0
"""Seconds for which a call is repeated while the database is locked."""
ELSEWHERE_PAUSE = 2.0
"""Seconds between two tries to claim while another machine's session has the agent's claim."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options that a person has given. `folder` is where commands run without worktrees; times are in seconds."""

    name: str
    agents: int
    command: tuple[str, ...]
    folder: Path
    state: Path
    prompt: str | None
    then: str | None
    category: str | None
    keep: Keep
    commit: bool
    timeout: float
    back_off: float
    logs: Path | None


class Loop:
    """The agents of one `dibs work`, and what they share."""

    def __init__(
        self, backlog: Backlog, options: Options, repository: Repository | None, place: dict[str, str], screen: Screen
    ) -> None:
        self.backlog, self.options, self.repository, self.place = backlog, options, repository, place
        self.screen, self.lifeline = screen, Lifeline()
        self.back_off, self.summary = BackOff(options.back_off), Summary()
        self.active: dict[int, Attempt] = {}
        self.shelf = Shelf(options.state / "shelf")
        self.making_worktrees = asyncio.Lock()
        self._kept: list[Worktree] = []
        self._then = asyncio.Lock()
        self._then_file = LockedFile(options.state / "then.lock")
        self._tasks: list[asyncio.Task[None]] = []
        self._error: Exception | None = None
        self._signal: signal.Signals | None = None
        self._last: Idle | None = None

    async def run(self) -> int:
        """Run the agents until there is no work for them, and return the exit status. Raises the loop's error."""
        states = [AgentState(self.options.state, self.options.name, one + 1) for one in range(self.options.agents)]
        numbers = [one for one in ENDING if signal.getsignal(one) is not signal.SIG_IGN]
        try:
            with received(numbers, self._end):
                for state in states:
                    await state.open(self._then_file, self.say)
                watching = asyncio.create_task(self._watch())
                for number in surplus(self.options.state, self.options.name, self.options.agents):
                    await self._give_up(AgentState(self.options.state, self.options.name, number))
                for state in states:  # before any claim of what depends on it
                    await self._finish_pass(state)
                self._tasks = [asyncio.create_task(self._work(state)) for state in states]
                await self._all_ended()
                watching.cancel()
                await self._say_what_is_left()
        finally:
            self.lifeline.close()
            for state in states:
                state.close()
            self._then_file.close()
        if self._error is not None:
            raise self._error
        if self._signal is not None:
            return 128 + self._signal
        return 0 if self._last is None or self._last.state in ("complete", "empty") else NOTHING_FOR_AGENTS

    async def _all_ended(self) -> None:
        """Wait for the agents. If one ends by an error that nobody expects, end the others too, and note it."""
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in self._tasks:
            error = task.exception() if task.done() and not task.cancelled() else None
            if isinstance(error, Exception):
                self._error = self._error or error
        if self._error is not None:
            self._cancel_agents()
        await asyncio.wait(self._tasks)

    def _cancel_agents(self) -> None:
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async def say(self, text: str) -> None:
        """Write a line to the screen."""
        await self.screen.say(text)

    def _end(self, number: signal.Signals) -> None:
        """End gently at the first signal, and at once at the second: the guards end the commands."""
        if self._signal is not None:
            os._exit(128 + number)
        self._signal = number
        self._cancel_agents()

    async def _work(self, state: AgentState) -> None:
        """Run one agent. An error of one agent ends all of them."""
        try:
            if self._signal is None:
                await self._claim_and_build(state)
        except (Unworkable, Refusal, OSError) as error:
            self._error = self._error or error
            self._cancel_agents()

    async def _claim_and_build(self, state: AgentState) -> None:
        resume = True  # take up what a killed loop has left
        while True:
            await self.back_off.wait()
            try:
                answer = await self.backlog.take(
                    category=self.options.category, wait_seconds=WAIT, agent=state.agent, resume=resume
                )
            except AlreadyHolding as refusal:
                if resume:
                    await self.say(f"{state.agent}: waits, since a session elsewhere has its claim: {refusal.message}")
                resume = True
                await asyncio.sleep(ELSEWHERE_PAUSE)
                continue
            resume = False
            if isinstance(answer, Idle):
                if state.record is not None:
                    await uninterrupted(self.clear(state))
                self._last = answer
                if answer.state not in ("waiting_for_claims", "waiting_for_back_off"):
                    return
                continue
            await Attempt(self, state, answer.feature, answer.claim.token).run()

    async def _finish_pass(self, state: AgentState) -> None:
        """Do what follows a pass that a killed loop could not: commit, and run --then. Raises Refusal."""
        record = state.record
        if record is None or record.phase == "planned":
            return
        try:
            feature = await self.backlog.get(record.feature)
        except NotFound:
            return
        events = (await self.backlog.history(record.feature, limit=20)).events
        last = next((one for one in events if one.kind in OUTCOMES or one.kind == Kind.CLAIM), None)
        if feature.status == "passing" and last is not None and (last.kind, last.agent) == (Kind.PASS, state.agent):
            await Attempt(self, state, feature, None).finish_pass()

    async def _give_up(self, state: AgentState) -> None:
        """Release the claim that an agent of an earlier, larger loop has left."""
        try:
            await state.open(self._then_file, self.say)
            await self._finish_pass(state)
            if state.record is not None:
                with suppress(Refusal):
                    await self.backlog.take(state.record.feature, agent=state.agent, resume=True)
                    await self.backlog.put_back(state.record.feature, "this loop has fewer agents")
                await self.clear(state)
        finally:
            state.close()

    async def _watch(self) -> None:
        """Make attempts check their claims when an event may have ended them."""
        while True:
            with suppress(Refusal):
                async for event in self.backlog.follow():
                    attempt = self.active.get(event.feature or 0)
                    if attempt is not None and event.from_status == "in_progress":
                        attempt.commands.look.set()
            await asyncio.sleep(1)  # the database cannot be read
            for attempt in self.active.values():
                attempt.commands.look.set()

    @asynccontextmanager
    async def one_then(self) -> AsyncIterator[int]:
        """Hold the lock that --then commands of all loops share, and yield its descriptor."""
        async with self._then:
            await self._then_file.take(None)
            try:
                yield self._then_file.descriptor
            finally:
                unlock(self._then_file.descriptor)

    async def clear(self, state: AgentState) -> None:
        """Remove the remains of an attempt of a killed loop whose claim is gone."""
        assert state.record is not None, "the caller has asked"
        passed = False
        with suppress(NotFound):
            passed = (await self.backlog.get(state.record.feature)).status == "passing"
        await self.dispose(state, passed=passed)

    async def dispose(self, state: AgentState, *, passed: bool) -> None:
        """Remove or keep the worktree of an attempt that is over, as --keep says."""
        record = state.record
        if record is not None and record.worktree is not None and self.repository is not None:
            try:
                await self._dispose(self.repository, record.worktree, passed=passed, is_made=record.phase != "planned")
            except (GitError, OSError) as error:
                await self.say(f"{state.agent}: {record.folder} was not removed: {error}")
        state.forget()

    async def _dispose(self, repository: Repository, worktree: Worktree, *, passed: bool, is_made: bool) -> None:
        if is_made and await self._stays(repository, worktree, passed=passed):
            self._kept.append(worktree)
            return
        drops = not is_made or (
            not passed and (self.options.keep == "never" or not await repository.has_work(worktree))
        )
        async with self.making_worktrees:
            await repository.remove(worktree, with_branch=drops)

    async def _stays(self, repository: Repository, worktree: Worktree, *, passed: bool) -> bool:
        if not worktree.folder.exists():
            return False
        if self.options.keep != "failed":
            return self.options.keep == "always"
        if passed:  # the branch has all that is committed
            return await repository.is_changed(worktree)
        return await repository.has_work(worktree)

    async def _say_what_is_left(self) -> None:
        self._kept.extend(self.shelf.all())
        for worktree in self._kept:
            await self.say(f"kept: {kept(worktree)}")
        await self.say(f"dibs work: {self.summary.text()}")
        if self._last is not None and self._error is None and self._signal is None:
            await self.say(f"dibs work: {self._last.message}")
