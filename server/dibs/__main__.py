"""`dibs`, `dibs-mcp` and `python -m dibs`."""

from __future__ import annotations

import atexit
import gc
import io
import sys
from typing import Any


def main() -> None:
    """Run the command line. `serve` loads less than other commands, since clients wait for it."""
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2:])
    elif sys.argv[1:2] == ["hook"]:
        from dibs.hooks.shortcut import take

        shortcut = take(sys.argv[2:])
        if not shortcut.done:
            run(shortcut.given)
    else:
        run()


def run(event: dict[str, Any] | None = None) -> None:
    """Run a command. `event` is what was read from standard input for `dibs hook`."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # characters that its encoding lacks are escaped
        sys.stdout.reconfigure(errors="backslashreplace", newline="\n")  # on Windows too
    gc.set_threshold(100_000)  # a command loads libraries, which leave no garbage, does one thing and ends
    atexit.register(gc.disable)  # the operating system frees the memory faster
    try:
        from dibs.cli import commands
    except KeyboardInterrupt:  # during a command, click handles it
        sys.exit(130)
    commands(obj=event)


def serve(arguments: list[str] | None = None) -> None:
    """Run `dibs serve`, which answers `initialize` before it loads the database's library."""
    from dibs.end_signals import install_early_exit

    install_early_exit()
    from dibs.cli.serve import serve as command

    command.main(sys.argv[1:] if arguments is None else arguments, prog_name="dibs serve")


if __name__ == "__main__":
    main()
