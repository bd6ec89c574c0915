"""Lists the issues of a GitHub repository by GitHub's own command `gh`, with the rights of its user."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from dibs_schema.refusals import InvalidInput

REPOSITORY = re.compile(r"(?:[\w.-]+/)?[\w.-]+/[\w.-]+", re.ASCII)
FIELDS = "number,title,body,state,labels,milestone"
REASON = "stateReason"
"""The field that says of a closed issue whether it was done."""
MOST = 10_000
"""Issues that are listed: an import takes no more features."""
PATIENCE = 300.0
"""Seconds for all pages of the list."""
SHOWN = 300


@contextmanager
def listed_issues(repository: str) -> Iterator[Path]:
    """Write all issues of `owner/name` or `host/owner/name` to a file, and remove it at the end.

    Raises InvalidInput if the name is malformed, if `gh` is not installed, or with gh's own message if it fails.
    """
    if REPOSITORY.fullmatch(repository) is None:
        raise InvalidInput(f"--github {repository!r}: write owner/repo.", field="github")
    gh = shutil.which("gh")
    if gh is None:
        raise InvalidInput(
            "--github: the command `gh` is not installed. Install it from https://cli.github.com, or import the output of "
            f"`gh issue list --state all --json {FIELDS},{REASON}` of another machine.",
            field="github",
        )
    with TemporaryDirectory(prefix="dibs-") as folder:
        file = Path(folder) / "issues.json"
        problem = _list_issues(gh, repository, f"{FIELDS},{REASON}", file)
        if REASON in problem:  # gh has it since 2.24
            problem = _list_issues(gh, repository, FIELDS, file)
        if problem:
            raise InvalidInput(f"gh cannot list the issues of {repository}: {problem}", field="github")
        yield file


def _list_issues(gh: str, repository: str, fields: str, file: Path) -> str:
    """Write the issues to a file, and return gh's error if it fails. Raises InvalidInput if it takes too long."""
    words = [gh, "issue", "list", "--repo", repository, "--state", "all", "--limit", str(MOST), "--json", fields]
    try:
        with file.open("wb") as output:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, check=False, timeout=PATIENCE
            )
    except subprocess.TimeoutExpired:
        raise InvalidInput(f"gh has not listed the issues within {PATIENCE:.0f} s.", field="github") from None
    return " ".join(done.stderr.decode(errors="replace").split())[:SHOWN] if done.returncode else ""


def source_name(repository: str) -> str:
    """Return the name of the list for references; it does not depend on how the repository's name is written."""
    return f"github:{repository.removeprefix('github.com/').lower()}"
