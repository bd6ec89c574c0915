"""`dibs`, `dibs-mcp` and `python -m dibs`."""

from __future__ import annotations

import atexit
import gc
import sys

SELDOM = 100_000
"""New objects between two collections: most commands load libraries, which leave no garbage, do one thing and end."""


def main() -> None:
    """Run the command line; `serve` takes the short way, since clients wait for it."""
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2:])
    else:
        gc.set_threshold(SELDOM)
        atexit.register(gc.disable)  # what is left at the end goes with the process
        try:
            from dibs.cli import commands
        except KeyboardInterrupt:  # later ones are the command's
            sys.exit(130)
        commands()


def serve(arguments: list[str] | None = None) -> None:
    """Run `dibs serve`, which answers `initialize` before it loads the database's library."""
    from dibs.mcp.transport.stdio import install_early_exit

    install_early_exit()
    from dibs.cli.serve import serve as command

    command.main(sys.argv[1:] if arguments is None else arguments, prog_name="dibs serve")


if __name__ == "__main__":
    main()
