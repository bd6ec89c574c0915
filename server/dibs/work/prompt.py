"""The prompt: one file, which its user may edit. `dibs work --init` writes the first text."""

from __future__ import annotations

from pathlib import Path

from dibs.regular_file import hide_from_git, read_regular
from dibs_schema.refusals import InvalidInput

PROMPT = Path("prompt.md")
"""The name of the file in `.dibs/`."""
LONGEST = 100_000
"""Bytes; Linux allows 128 KiB for one argument. Source: execve(2), MAX_ARG_STRLEN."""
PLACEHOLDER = "{prompt}"
STARTING_TEXT = """\
Build one feature of this project, and nothing else. The feature follows as JSON: `description` says what it does, `steps`
how to test it, `failures`, `feedback` and `notes` what is known from earlier attempts.

- Work in the current folder. Earlier features that this one depends on are there.
- You are done when every step succeeds. Run the project's tests, too.
- Commit your work with the trailer `$DIBS_TRAILER`; what you leave uncommitted in a worktree is committed for you.
- If it cannot be built, run `dibs fail "$DIBS_FEATURE_ID" "REASON"`. If only a person can decide something, run
  `dibs ask "$DIBS_FEATURE_ID" "QUESTION"`. Else just end: that passes the feature.
- Leave what the next agent must know with `dibs note "$DIBS_FEATURE_ID" "TEXT"`.
"""


def write_starting_text(state: Path) -> Path:
    """Write the starting text, and return its file. Raises InvalidInput if there is a file, and OSError."""
    state.mkdir(parents=True, exist_ok=True)
    hide_from_git(state)
    file = state / PROMPT
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(STARTING_TEXT)
    except FileExistsError:
        raise InvalidInput(f"{file} exists, and nothing was changed.", field="--init") from None
    return file


def read_prompt(state: Path, given: Path | None) -> str | None:
    """Return the prompt, or None without one. Raises InvalidInput, and OSError."""
    file = given or state / PROMPT
    if given is None and not file.exists():
        return None
    content = read_regular(file, LONGEST + 1, field="--prompt")
    if len(content) > LONGEST:
        raise InvalidInput(f"{file}: a prompt has at most {LONGEST:,} bytes.", field="--prompt")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is not UTF-8.", field="--prompt") from None
    if "\0" in text:  # no argument can have it
        raise InvalidInput(f"{file} contains a NUL character.", field="--prompt")
    return text


def filled(command: tuple[str, ...], prompt: str | None, feature: str) -> tuple[list[str], bytes]:
    """Return the command, and its standard input: the prompt, unless an argument has it, and the feature as JSON."""
    if prompt is None:
        return list(command), feature.encode() + b"\n"
    line = [one.replace(PLACEHOLDER, prompt) for one in command]
    before = "" if line != list(command) else prompt.rstrip() + "\n\n"
    return line, f"{before}{feature}\n".encode()
