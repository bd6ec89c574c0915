#!/usr/bin/env python3
"""Comments on the GitHub issue of a feature that passes, and closes it.

    dibs import --github owner/repo
    dibs follow --on pass --run 'python examples/close_issue.py owner/repo'

The issue has the comment once, also if the notice comes twice: a closed issue is left as it is. Features that were not
imported from the repository are passed over. It needs `gh`, with the right to write to the repository's issues.
"""

import json
import subprocess
import sys


def output(*command: str) -> dict[str, object]:
    """Run a command that prints JSON, and return that."""
    printed: dict[str, object] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return printed


def main(repository: str) -> None:
    """Close the issue that the notice on standard input is about."""
    notice = json.load(sys.stdin)
    feature = output("dibs", "get", str(notice["feature"]), "--json")
    number = str(feature.get("reference", "")).rpartition(":")[2]
    if feature.get("source") != f"github:{repository.lower()}" or not number.isdigit():
        return
    issue = output("gh", "issue", "view", number, "--repo", repository, "--json", "state")
    if issue["state"] != "OPEN":
        return
    comment = f"Feature {notice['feature']} passes. {notice['text']}".strip()
    subprocess.run(["gh", "issue", "close", number, "--repo", repository, "--comment", comment], check=True)


main(sys.argv[1])
