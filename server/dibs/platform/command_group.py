"""A shell command with all processes that it starts: they end together, even when this process is killed.

On POSIX it is a process group. A watcher in it waits for the end of a pipe from this process, and then kills the group;
so the command ends when this process does, however that happens. On Windows it is a job object, which the system ends
when its last handle is closed. Sources: setsid(2), kill(2); CreateJobObjectW and JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE. A
program that leaves its process group by starting a new session is not ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from anyio.abc import Process

DRAINED = 2.0
"""Seconds for the rest of the output after the end of the command: whoever escaped from its group may keep it open."""

if sys.platform == "win32":
    import ctypes

    from dibs.platform import system_calls

    _KILL_ON_JOB_CLOSE, _EXTENDED_LIMITS = 0x2000, 9
    _SET_QUOTA_AND_TERMINATE = 0x0101

    class _Limits(ctypes.Structure):
        """JOBOBJECT_EXTENDED_LIMIT_INFORMATION, winnt.h."""

        _fields_ = (
            ("times", ctypes.c_int64 * 2),
            ("flags", ctypes.c_uint32),
            ("working_set", ctypes.c_size_t * 2),
            ("processes", ctypes.c_uint32),
            ("affinity", ctypes.c_size_t),
            ("classes", ctypes.c_uint32 * 2),
            ("io_counters", ctypes.c_uint64 * 6),
            ("memory", ctypes.c_size_t * 4),
        )

    class _Group:
        """The job object of a command."""

        def __init__(self, process: Process) -> None:
            kernel = system_calls.windows_library("kernel32")
            kernel.CreateJobObjectW.restype = kernel.OpenProcess.restype = ctypes.c_void_p
            self._job = ctypes.c_void_p(kernel.CreateJobObjectW(None, None))
            limits = _Limits(flags=_KILL_ON_JOB_CLOSE)
            kernel.SetInformationJobObject(self._job, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits))
            handle = ctypes.c_void_p(kernel.OpenProcess(_SET_QUOTA_AND_TERMINATE, 0, process.pid))
            kernel.AssignProcessToJobObject(self._job, handle)
            kernel.CloseHandle(handle)

        def kill(self) -> None:
            """End every process of the job."""
            system_calls.windows_library("kernel32").CloseHandle(self._job)

    async def _start(command: str, folder: Path, environment: Mapping[str, str]) -> Process:
        return await anyio.open_process(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            cwd=folder,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        )

else:
    import signal

    _WATCHED = """
exec 3<&0 </dev/null
( ( cat <&3; kill -KILL 0 ) >/dev/null 2>&1 & )
exec 3<&- sh -c "$1"
"""
    """Starts the watcher, whose parent ends at once, so that the command has no child that it did not start.

    It needs no file of this package, unlike `guard`: a server must run commands after an upgrade has replaced the package.
    """

    class _Group:
        """The process group of a command. Its watcher keeps the group's id from being used again."""

        def __init__(self, process: Process) -> None:
            self._id = process.pid

        def kill(self) -> None:
            """End every process of the group."""
            with suppress(
                ProcessLookupError, PermissionError
            ):  # the command has ended it, or macOS has only zombies left
                os.killpg(self._id, signal.SIGKILL)

    async def _start(command: str, folder: Path, environment: Mapping[str, str]) -> Process:
        return await anyio.open_process(
            ["/bin/sh", "-c", _WATCHED, "sh", command],
            env=environment,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
        )


class CommandGroup:
    """A running command, and the last `tail` bytes of its output: standard output and standard error as one."""

    def __init__(self, process: Process, tail: int) -> None:
        self._process = process
        self._tail = tail
        self._output = bytearray()
        self.drained = anyio.Event()

    @property
    def output(self) -> str:
        """The end of the output so far."""
        return bytes(self._output[-self._tail :]).decode(errors="replace")

    async def wait(self) -> int:
        """Wait for the command, but not for what it leaves behind, and return its exit status: negative for a signal."""
        return await self._process.wait()

    async def read(self) -> None:
        """Read the output to its end."""
        assert self._process.stdout is not None, "it is a pipe"
        try:
            async for part in self._process.stdout:
                self._output += part
                del self._output[: -self._tail]
        finally:
            self.drained.set()


@asynccontextmanager
async def command_group(
    command: str, folder: Path, environment: Mapping[str, str], tail: int
) -> AsyncIterator[CommandGroup]:
    """Run a command of the shell in a folder, without input. At the end of the block all of it is ended.

    Raises OSError if it cannot be started.
    """
    process = await _start(command, folder, environment)
    group = _Group(process)
    running = CommandGroup(process, tail)
    try:
        async with anyio.create_task_group() as reader:
            reader.start_soon(running.read)
            try:
                yield running
            finally:
                group.kill()
                with anyio.move_on_after(DRAINED, shield=True):
                    await running.drained.wait()
                reader.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    await stream.aclose()
            await process.wait()
