"""A running client: its process, its model, and the clean-up after a kill."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]  # has no types; the wheel requires it

from e2e.clients import NOWHERE, PROMPT, Client, Place
from e2e.fetching import BIN
from e2e.model import Model, serving
from e2e.script import Script

PATIENCE = 150.0
"""Seconds that a run may take: usually a few, but more than a minute on a busy machine."""


@dataclass
class Run:
    """One run of a client without a person."""

    client: Client
    place: Place
    model: Model
    process: subprocess.Popen[str]

    def finish(self) -> str:
        """Wait for the end, and return the client's output. Raises AssertionError if it failed."""
        output, errors = self.process.communicate(timeout=PATIENCE)
        if self.model.failure:
            raise self.model.failure
        assert self.process.returncode == 0, f"{output[-2000:]}\n{errors[-2000:]}"
        return output

    def servers(self) -> list[psutil.Process]:
        """The Dibs servers below the client."""
        return [one for one in self._descendants() if _is_server(one)]

    def kill(self, *, with_servers: bool) -> None:
        """Kill all processes of the client with SIGKILL, and its servers only if asked to."""
        victims = [one for one in self._descendants() if with_servers or not _is_server(one)]
        for one in [psutil.Process(self.process.pid), *victims]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.communicate(timeout=PATIENCE)

    def _descendants(self) -> list[psutil.Process]:
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return found


def _is_server(process: psutil.Process) -> bool:
    try:
        return "dibs" in process.cmdline()
    except psutil.NoSuchProcess:  # it has ended in the meantime
        return False


@contextmanager
def running(client: Client, place: Place, script: Script, prompt: str = PROMPT) -> Iterator[Run]:
    """Register Dibs, start the client with a model that follows `script`, and end every process."""
    client.register(place)
    with serving(client.dialect(), script) as model:
        process = subprocess.Popen(
            client.command(prompt),
            env=client.environment(place, model.url),
            cwd=place.project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        run = Run(client, place, model, process)
        try:
            yield run
        finally:
            if process.poll() is None:
                run.kill(with_servers=True)


def play(client: Client, place: Place, script: Script) -> Model:
    """Run a script to its end, and return the model with its requests."""
    with running(client, place, script) as run:
        run.finish()
    return run.model


def run_program(client: Client, place: Place, *words: str) -> str:
    """Run a command of the client's program without a model, and return its output."""
    done = subprocess.run(
        [str(BIN / client.name), *words],
        cwd=place.project,
        env=client.environment(place, NOWHERE),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
