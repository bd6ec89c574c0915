"""The whole screen of a terminal, where the system has such terminals."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from types import TracebackType
    from typing import Any, Self

    class Screen:
        """Windows has no such screen. Raises OSError."""

        def __init__(self) -> None:
            raise OSError("Windows has no POSIX terminals")

        def __enter__(self) -> Self:
            return self

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
        ) -> None:
            """Do nothing."""

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name)
else:
    from dibs.platform.posix_screen import Screen

__all__ = ["Screen"]
