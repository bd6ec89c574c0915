"""Raises the limit of files that a process may have open."""

from __future__ import annotations

import sys

if sys.platform == "win32":

    def raise_file_limit() -> int | None:
        """Return None: on Windows, sockets are not files and have no such limit."""
        return None

else:

    def raise_file_limit() -> int | None:
        """Raise this process's limit of open files as far as the system permits, and return it, or None."""
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # macOS reports more than it grants
            hard = soft
        return None if hard == resource.RLIM_INFINITY else hard
