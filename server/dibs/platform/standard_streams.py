"""Lines on standard input and output: on POSIX without threads, on Windows with two."""

from __future__ import annotations

import sys

if sys.platform == "win32":  # an event loop there cannot wait for a pipe that it did not create
    from dibs.platform.threaded_streams import LineReader, LineWriter, private_stdio
else:
    from dibs.platform.posix_streams import LineReader, LineWriter, private_stdio

__all__ = ["LineReader", "LineWriter", "private_stdio"]
