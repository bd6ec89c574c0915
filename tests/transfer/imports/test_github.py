"""Issues of GitHub, as `gh` lists them, and what goes back. GitHub itself is out of reach: a program stands in for `gh`.

The program has the issues in a file, and takes the arguments that `gh` 2.23 and 2.80 take.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
FIELDS = "number,title,body,state,labels,milestone"
GH = """\
#!{python}
import json, os, pathlib, sys
file = pathlib.Path(os.environ["GH_ISSUES"])
issues = json.loads(file.read_text())
words = sys.argv[1:]
with pathlib.Path(os.environ["GH_ISSUES"] + ".log").open("a") as log:
    log.write(" ".join(words[:3]) + "\\n")
options = dict(zip(words[2 if words[1] == "list" else 3 :: 2], words[3 if words[1] == "list" else 4 :: 2]))
if options["--repo"] != "Acme/shop":
    sys.exit("GraphQL: Could not resolve to a Repository with the name 'x/y'.")
if "OLD_GH" in os.environ and "stateReason" in options.get("--json", ""):
    sys.exit('Unknown JSON field: "stateReason"')
if words[1] == "list":
    assert options["--state"] == "all"
    print(json.dumps([{{name: one[name] for name in options["--json"].split(",")}} for one in issues]))
elif words[1] == "view":
    print(json.dumps(next({{"state": one["state"]}} for one in issues if one["number"] == int(words[2]))))
else:
    next(one for one in issues if one["number"] == int(words[2])).update(state="CLOSED", comment=options["--comment"])
    file.write_text(json.dumps(issues))
"""


def issue(number: int, title: str, state: str = "OPEN", reason: str = "") -> dict[str, Any]:
    """Return an issue with the fields that `gh` prints."""
    label = {"id": "x", "name": "bug", "description": "", "color": "f00"}
    return {
        "number": number,
        "title": title,
        "body": "b",
        "state": state,
        "stateReason": reason,
        "labels": [label],
        "milestone": None,
    }


class Repository:
    """A folder, with the program `gh` and a repository's issues."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.issues = folder / "issues.json"
        program = folder / "bin" / "gh"
        program.parent.mkdir()
        program.write_text(GH.format(python=sys.executable), encoding="utf-8")
        program.chmod(0o755)
        path = f"{program.parent}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = os.environ | {"PATH": path, "GH_ISSUES": str(self.issues), "DIBS_DB": str(folder / "f.db")}

    def put(self, *issues: dict[str, Any]) -> None:
        """Set the issues."""
        self.issues.write_text(json.dumps(issues), encoding="utf-8")

    def run(self, *command: str, status: int = 0, given: str = "", **environment: str) -> str:
        """Run a command, and return its output."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with an open issue and two closed ones."""
    found = Repository(tmp_path)
    found.put(issue(7, "Sign in"), issue(8, "Done", "CLOSED", "COMPLETED"), issue(9, "No", "CLOSED", "NOT_PLANNED"))
    return found


@pytest.mark.skipif(os.name != "posix", reason="the program is a script")
def test_a_second_import_of_issues_adds_only_new_ones_and_reports_changes(repository: Repository) -> None:
    """An issue's number is the reference, however the repository is written; what differs is said, and taken if asked."""
    dibs = ("dibs", "import", "--json", "--github")
    assert json.loads(repository.run(*dibs, "Acme/shop"))["added"] == 3
    assert json.loads(repository.run(*dibs, "Acme/shop"))["added"] == 0
    states = {one["id"]: one["status"] for one in json.loads(repository.run("dibs", "list", "--json"))["features"]}
    assert states[1] == "pending"
    assert states[2] == "passing"
    repository.put(issue(7, "Sign in with a key"), issue(10, "New"))
    again = json.loads(repository.run(*dibs, "Acme/shop"))
    assert (again["added"], again["differing"], len(again["gone"])) == (1, {"name": 1}, 1)
    updated = json.loads(repository.run(*dibs, "Acme/shop", "--update"))
    assert updated["taken"] == 1


@pytest.mark.skipif(os.name != "posix", reason="the program is a script")
def test_an_older_gh_lists_issues_too(repository: Repository) -> None:
    """Without the reason of a closing, each closed issue counts as done."""
    answer = json.loads(repository.run("dibs", "import", "--json", "--github", "Acme/shop", OLD_GH="1"))
    assert answer["added"] == 3


@pytest.mark.skipif(os.name != "posix", reason="the program is a script")
def test_what_gh_cannot_list_is_refused_with_its_words(repository: Repository) -> None:
    """A name of another form, an unknown repository and a missing `gh` leave no backlog behind."""
    assert "write owner/repo" in repository.run("dibs", "import", "--github", "--limit=1", status=2)
    assert "Could not resolve" in repository.run("dibs", "import", "--github", "x/y", status=2)
    python = str(Path(sys.executable).parent)
    assert "is not installed" in repository.run("dibs", "import", "--github", "a/b", status=2, PATH=python)
    assert not (repository.folder / "f.db").exists()


@pytest.mark.skipif(os.name != "posix", reason="the program is a script")
def test_a_passed_feature_closes_its_issue_once(repository: Repository) -> None:
    """The example comments and closes by `dibs follow --on pass`; a repeated notice finds the issue closed."""
    repository.run("dibs", "import", "--github", "Acme/shop")
    repository.run("dibs", "claim", "1", DIBS_AGENT="ada")
    repository.run("dibs", "pass", "1", "--evidence", "signs in", DIBS_AGENT="ada")
    script = f"'{sys.executable}' '{ROOT / 'examples' / 'close_issue.py'}' Acme/shop"
    follow = ("dibs", "follow", "--on", "pass", "--after", "0-0", "--run", script)
    with subprocess.Popen(follow, cwd=repository.folder, env=repository.environment, text=True) as following:
        deadline = time.monotonic() + 60
        try:
            while '"comment"' not in (said := repository.issues.read_text(encoding="utf-8")):
                assert following.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            following.terminate()
    closed = next(one for one in json.loads(said) if one["number"] == 7)
    assert (closed["state"], closed["comment"]) == ("CLOSED", "Feature 1 passes. signs in")
    notice = json.dumps({"feature": 1, "text": "signs in", "repeated": True})
    repository.run("sh", "-c", script, given=notice)
    assert Path(f"{repository.issues}.log").read_text(encoding="utf-8").count("issue close 7") == 1
