"""The commands of one attempt: the command that builds the feature, and the --then command."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dibs.git_tree import unbound_environment
from dibs.platform.process_groups import NOT_STARTED, shell_command
from dibs.root_folder import PROJECT_VARIABLES
from dibs.work.output import Output
from dibs.work.process import Command, Running, described
from dibs.work.prompt import filled
from dibs.work.state import AgentState, file_name
from dibs.work.tasks import uninterrupted
from dibs.work.usage import reported
from dibs_schema.refusals import Refusal
from dibs_schema.sanitize import clean
from dibs_schema.status import OUTCOMES, Kind

if TYPE_CHECKING:
    from dibs.work.loop import Loop
    from dibs_schema.answers import Feature, Work

OWN_END_GRACE = 60.0
"""Seconds that a command has to end after it has passed, failed or released its feature itself."""
LONGEST_TEXT = 1_000
"""Characters of a command's last output in evidence and reasons."""


@dataclass(frozen=True, slots=True)
class End:
    """How the claim ended before the loop ended it: by the agent's own command, or by somebody else."""

    kind: str
    is_own: bool


@dataclass(slots=True)
class Built:
    """The result of the command. `late` says why it was ended early."""

    status: int
    seconds: float
    output: str
    late: str | None = None

    def usage(self) -> dict[str, Any]:
        """Return the attempt's usage: seconds, tokens and cost."""
        return {**reported(self.output)[0], "seconds": round(self.seconds, 1)}

    def text(self) -> str:
        """Return the agent's last text, or the end of the output."""
        return clean((reported(self.output)[1] or self.output).strip()[-LONGEST_TEXT:])


class Commands:
    """Runs the commands of an attempt with its claim. `look` is set when somebody may have ended the claim."""

    def __init__(self, loop: Loop, state: AgentState, feature: Work | Feature, token: str | None) -> None:
        self._loop, self._state, self._feature, self._token = loop, state, feature, token
        self.trailer = f"Dibs: {feature.id}"
        self.look = asyncio.Event()

    async def build(self) -> Built:
        """Run the command of the loop with the feature."""
        options = self._loop.options
        feature = self._feature.model_dump_json(exclude_defaults=True)
        line, given = filled(options.command, options.prompt, feature)
        environment = self._environment() | {"DIBS_CLAIM": self._token or ""}
        return await self._run(Command(line, self.folder(), environment, given, [self._state.descriptor]))

    async def _run(self, command: Command) -> Built:
        loop, began = self._loop, time.monotonic()
        try:
            output = Output(loop.screen, f"{self._state.agent} {self._feature.id}: ", self._log())
            running = await Running.start(command, output, loop.lifeline)
        except OSError as error:  # a guard would have said so
            return Built(NOT_STARTED[1], 0.0, error.strerror or str(error))
        try:
            late = None if command.outlives else await self._wait(running)
        except asyncio.CancelledError:
            await uninterrupted(running.stop())
            raise
        if late is not None:
            await uninterrupted(running.stop())
        elif command.outlives:
            await running.ended
        status = await uninterrupted(running.finish())
        return Built(status, time.monotonic() - began, output.tail, late)

    async def _wait(self, running: Running) -> str | None:
        """Wait for the end of the command. Returns why it must be ended, or None if it has ended."""
        deadline = time.monotonic() + self._loop.options.timeout
        late = f"it did not end within {self._loop.options.timeout:g} s"
        while not running.ended.done():
            look = asyncio.ensure_future(self.look.wait())
            try:
                remaining = max(0.0, deadline - time.monotonic())
                await asyncio.wait({running.ended, look}, timeout=remaining, return_when=asyncio.FIRST_COMPLETED)
            finally:
                look.cancel()
            if running.ended.done():
                return None
            if not self.look.is_set():
                return late
            self.look.clear()
            end = await self.end_of_claim()
            if end is not None and not end.is_own:
                return "its claim was lost"
            if end is not None:
                deadline = min(deadline, time.monotonic() + OWN_END_GRACE)
                late = f"it did not end within {OWN_END_GRACE:g} s of its outcome"
        return None

    async def end_of_claim(self) -> End | None:
        """Return how the claim has ended, or None while it is valid."""
        backlog, feature = self._loop.backlog, self._feature.id
        try:
            await backlog.heartbeat(feature, self._token)
        except Refusal as refusal:
            if refusal.retryable:
                return None
        else:
            return None
        for event in (await backlog.history(feature, limit=20)).events:
            if event.kind in OUTCOMES or event.kind == Kind.RESUME:
                own = event.agent == self._state.agent and event.kind not in (Kind.RESUME, Kind.EXPIRE)
                return End(event.kind, own)
        return End("lost", is_own=False)

    def folder(self) -> Path:
        """Return where the command runs."""
        worktree, repository = self._state.attempt.worktree, self._loop.repository
        if worktree is None or repository is None:
            return self._loop.options.folder
        within = worktree.folder / repository.within
        return within if within.is_dir() else worktree.folder

    def _environment(self) -> dict[str, str]:
        inherited = {name: one for name, one in unbound_environment().items() if name not in PROJECT_VARIABLES}
        for name in ("DIBS_TOKEN", "DIBS_CLAIM"):
            inherited.pop(name, None)
        found = {
            **inherited,
            **self._loop.place,
            "DIBS_AGENT": self._state.agent,
            "DIBS_FEATURE_ID": str(self._feature.id),
            "DIBS_FEATURE_NAME": self._feature.name,
            "DIBS_TRAILER": self.trailer,
        }
        worktree = self._state.attempt.worktree
        return found if worktree is None else found | {"DIBS_BRANCH": worktree.branch}

    def _log(self) -> Path | None:
        logs = self._loop.options.logs
        return (
            None
            if logs is None
            else logs / f"{self._feature.id}-{self._feature.attempts}-{file_name(self._state.agent)}.log"
        )

    async def then(self) -> str | None:
        """Run the command of --then, one at a time, unless that has been done. Returns what went wrong."""
        loop, options = self._loop, self._loop.options
        if options.then is None or self._state.attempt.phase == "merged":
            return None
        folder = options.folder if loop.repository is None else loop.repository.checkout
        async with loop.one_then() as descriptor:
            holds = [descriptor, self._state.descriptor]
            line = shell_command(options.then)
            done = await self._run(Command(line, folder, self._environment(), holds=holds, outlives=True))
        if done.status == 0:
            self._state.change(phase="merged")
            return None
        return f"{options.then} {described(done.status)}: {done.text()}"
