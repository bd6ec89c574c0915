"""The names under which others see a client without an agent name: its program, its connection and its folder."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

CLIENT = "client"
"""The program of a client that does not name itself."""
LETTERS = 30
"""Characters of a program's or a folder's name that are shown."""
_DIGITS = re.compile("[0-9a-f]{4}")
_TIMED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
"""A UUID of version 7, which begins with the time: for weeks the first digits stay the same. Source: RFC 9562, 5.7."""
_ON_CONNECTION = re.compile(r"(.+)-[0-9a-f]{4} in .+")


def name_of(client: str, session: str) -> str:
    """Return the name of a client, as `codex-3da5`: its program, and the random start or end of its session's id."""
    digits = (session[-4:] if _TIMED.fullmatch(session) else session[:4]).lower()
    if _DIGITS.fullmatch(digits) is None:
        digits = hashlib.blake2b(session.encode(errors="replace"), digest_size=2).hexdigest()
    return f"{_word(client) or CLIENT}-{digits}"


def name_in_folder(client: str, session: str, folder: str, role: str = "") -> str:
    """Return the name of the client of a connection, as `codex-3da5 in wt-ann`, or with a role that does not build."""
    shown = "" if role in ("", "all", "coder") else f" ({role})"
    return f"{name_of(client, session)} in {_word(folder) or '/'}{shown}"


def is_of_connection(name: str) -> bool:
    """Return whether a holder's name has the form of `name_in_folder`."""
    return _ON_CONNECTION.fullmatch(name) is not None


def program_in(name: str) -> str | None:
    """Return the program in a holder's name of the form of `name_in_folder`, or None."""
    found = _ON_CONNECTION.fullmatch(name)
    return found[1] if found else None


def program_of(client: str) -> str | None:
    """Return the program of a client as one word, or None if it does not name itself."""
    word = _word(client)
    return None if word in ("", CLIENT) else word


def program_name() -> str:
    """Return the name of the program that runs in this process."""
    return "python" if sys.argv[0] == "-c" else _word(Path(sys.argv[0]).stem) or "python"


def _word(text: str) -> str:
    """Return the text as one word of characters that every terminal and log can show."""
    return re.sub(r"[^\w.-]+", "-", text)[:LETTERS].strip("-")
