"""Answers most hooks with one query of the standard library, since a client waits for each of them.

The command line's libraries take ten times as long. They load only for hooks that write, for settings that need them,
and for unusual cases, which they report.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dibs.hooks.event import EVENTS, READING, answer, names_of, read_event
from dibs.regular_file import refuse_irregular
from dibs.root_folder import BACKLOG, find_root, served_folder
from dibs_schema.refusals import InvalidInput
from dibs_schema.roles import Role

PLAIN = re.compile(r"[\w.-]+(?: [\w.-]+)*", re.ASCII)
"""A value that means itself: no setting would be refused for it, or changed."""
PLAIN_PATH = re.compile(r"(?:/[\w.-]+)+", re.ASCII)


@dataclass(slots=True)
class Shortcut:
    """Whether a hook is `done`; if not, `given` is the event that was read from standard input, or None if none was."""

    done: bool
    given: dict[str, Any] | None = None


def take(words: Sequence[str], environ: Mapping[str, str] = os.environ) -> Shortcut:
    """Act on the event that a command line names, and print the answer, if that needs no more than one query."""
    if not words or words[0] not in EVENTS or words[1:] not in ([], ["--check"]):
        return Shortcut(done=False)
    event, checked = words[0], len(words) > 1
    if event in ("stop", "subagent-stop") and not checked:
        return Shortcut(done=True)
    given = read_event()
    prefix, tests = "DIBS_", "DIBS_TEST_"
    settings = {
        name.removeprefix(prefix): value
        for name, value in environ.items()
        if value and name.startswith(prefix) and not name.startswith(tests)
    }
    known: dict[str, Callable[[str], Any]] = {
        "AGENT": PLAIN.fullmatch,
        "DB": PLAIN_PATH.fullmatch,
        "PROJECT": "default".__eq__,
        "ROLE": set(Role).__contains__,
    }
    if not all(name in known and known[name](value) for name, value in settings.items()):
        return Shortcut(done=False, given=given)
    try:
        folder = served_folder(environ)
        file = Path(settings["DB"]) if "DB" in settings else find_root(folder) / BACKLOG
        held = _held(file, names_of(settings, given, environ, folder.name))
    except (sqlite3.Error, OSError, InvalidInput):
        return Shortcut(done=False, given=given)
    if held and event not in READING:
        return Shortcut(done=False, given=given)
    said = None if held is None or event not in READING else answer(event, held, given)
    if said is not None:
        sys.stdout.write(json.dumps(said) + "\n")
    return Shortcut(done=True)


def _held(file: Path, names: Sequence[str]) -> list[int] | None:
    """Return the features on which `names` have claims, or None if there is no backlog, or no name.

    Neither the file nor a file next to it changes. Raises sqlite3.Error, and OSError if the file is no regular one.
    """
    if not names or not file.exists():
        return None
    refuse_irregular(file, "--db")
    logs = [Path(f"{file}{end}") for end in ("-wal", "-journal")]
    at_rest = "" if any(log.exists() and log.stat().st_size for log in logs) else "&immutable=1"
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro{at_rest}", uri=True)) as connection:
        if connection.execute("SELECT name FROM projects").fetchall() != [("default",)]:
            raise sqlite3.NotSupportedError("the whole command finds the project among several")
        query = "SELECT id FROM features WHERE status = 'in_progress' AND claimed_by = ? ORDER BY id"
        return [row[0] for name in names for row in connection.execute(query, (name,))]
