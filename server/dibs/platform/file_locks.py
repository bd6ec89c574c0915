"""Exclusive locks on files, which end with the process that holds them."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dibs.platform import system_calls

if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    class _Overlapped(ctypes.Structure):
        """The first byte of a lock. Source: OVERLAPPED, minwinbase.h."""

        _fields_ = (
            ("internal", ctypes.c_size_t),
            ("internal_high", ctypes.c_size_t),
            ("offset", wintypes.DWORD),
            ("offset_high", wintypes.DWORD),
            ("event", wintypes.HANDLE),
        )

    _FAIL_IMMEDIATELY, _EXCLUSIVE = 1, 2
    _ERROR_LOCK_VIOLATION = 33
    _QUEUE_BYTE = 0x7FFF0000
    """A byte that no file has, since Windows keeps others from reading a locked one."""

    def _lock_bytes(descriptor: int, first: int, size: int, *, wait: bool) -> None:
        """Lock bytes of a file. Source: LockFileEx, fileapi.h."""
        handle = wintypes.HANDLE(msvcrt.get_osfhandle(descriptor))
        flags = _EXCLUSIVE | (0 if wait else _FAIL_IMMEDIATELY)
        place = _Overlapped(offset=first)
        if system_calls.windows_library("kernel32").LockFileEx(handle, flags, 0, size, 0, ctypes.byref(place)):
            return
        error = system_calls.windows_error()
        if error.winerror == _ERROR_LOCK_VIOLATION:
            raise BlockingIOError(errno.EWOULDBLOCK, "another process has locked it")
        raise error

    def lock(descriptor: int, *, wait: bool) -> None:
        """Lock a file. The kernel queues those who wait. Raises BlockingIOError without `wait`, and OSError."""
        _lock_bytes(descriptor, _QUEUE_BYTE, 1, wait=wait)

    def unlock(descriptor: int) -> None:
        """Release the lock of `lock`. Raises OSError."""
        handle = wintypes.HANDLE(msvcrt.get_osfhandle(descriptor))
        place = _Overlapped(offset=_QUEUE_BYTE)
        if not system_calls.windows_library("kernel32").UnlockFileEx(handle, 0, 1, 0, ctypes.byref(place)):
            raise system_calls.windows_error()

    def lock_bytes(descriptor: int, first: int, size: int) -> None:
        """Lock `size` bytes until the file is closed. Raises BlockingIOError if any of them is locked, and OSError."""
        _lock_bytes(descriptor, first, size, wait=False)

    _GENERIC_WRITE, _SHARE_READ, _SHARE_DELETE = 0x40000000, 1, 4
    _OPEN_EXISTING, _BACKUP_SEMANTICS = 3, 0x02000000
    _INVALID_HANDLE = wintypes.HANDLE(-1).value

    @contextmanager
    def locked_folder(folder: Path, *, optional: bool = False) -> Iterator[None]:
        """Lock a folder. With `optional`, accept a file system that has no locks. Raises OSError.

        A handle opened for writing that shares everything but writing excludes all other such handles. Source:
        CreateFileW, fileapi.h, on FILE_FLAG_BACKUP_SEMANTICS and on sharing.
        """
        kernel = system_calls.windows_library("kernel32")
        kernel.CreateFileW.restype = wintypes.HANDLE
        share = _SHARE_READ | _SHARE_DELETE
        handle = kernel.CreateFileW(str(folder), _GENERIC_WRITE, share, None, _OPEN_EXISTING, _BACKUP_SEMANTICS, None)
        if handle == _INVALID_HANDLE and not optional:
            raise system_calls.windows_error(str(folder))
        try:
            yield
        finally:
            if handle != _INVALID_HANDLE:
                kernel.CloseHandle(wintypes.HANDLE(handle))

else:
    import fcntl

    def lock(descriptor: int, *, wait: bool) -> None:
        """Lock a file. The kernel queues those who wait. Raises BlockingIOError without `wait`, and OSError.

        Source: flock(2).
        """
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(descriptor: int) -> None:
        """Release the lock of `lock`. Raises OSError."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def lock_bytes(descriptor: int, first: int, size: int) -> None:
        """Lock `size` bytes until the file is closed. Raises BlockingIOError if any of them is locked, and OSError.

        Source: fcntl(2), whose error for a lock of another process is EAGAIN or EACCES.
        """
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, size, first)
        except PermissionError as error:
            raise BlockingIOError(error.errno, error.strerror) from error

    @contextmanager
    def locked_folder(folder: Path, *, optional: bool = False) -> Iterator[None]:
        """Lock a folder. With `optional`, accept a file system that has no locks. Raises OSError."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with suppress(*((OSError,) if optional else ())):
                lock(descriptor, wait=False)
            yield
        finally:
            os.close(descriptor)
