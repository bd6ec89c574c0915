"""`dibs export` writes one snapshot in a stable form, and overwrites nothing but an earlier export."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.shells import Shell
from dibs.transfer.formats.export_formats import FORMATS

LIST = [
    {"id": "a", "category": "account", "name": "Sign in", "description": "By e-mail.", "steps": ["Open it."]},
    {"id": "b", "name": "Zürich → €", "dependencies": ["a"], "priority": 7, "paths": ["src/**"], "passes": True},
]


@pytest.fixture
def filled(shell: Shell) -> Shell:
    """A shell whose backlog has two features."""
    (shell.folder / "given.json").write_text(json.dumps(LIST))
    assert shell.dibs("import", "given.json").returncode == 0
    return shell


def exported(shell: Shell, *options: str) -> Any:
    """Return the document that is exported to standard output."""
    done = shell.dibs("export", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_feature_list_has_every_field(filled: Shell) -> None:
    document = exported(filled)
    assert list(document) == ["dibs", "features"]
    assert document["features"][1] == {
        "id": 2,
        "source": "given.json",
        "reference": "b",
        "category": "general",
        "name": "Zürich → €",
        "description": "Zürich → €",
        "steps": [],
        "dependencies": [1],
        "paths": ["src/**"],
        "priority": 7,
        "status": "passing",
        "passes": True,
    }


def test_a_prd_has_the_keys_of_one(filled: Shell) -> None:
    first, second = exported(filled, "--format", "prd")["userStories"]
    assert first == {
        "id": "1",
        "source": "given.json",
        "reference": "a",
        "category": "account",
        "title": "Sign in",
        "description": "By e-mail.",
        "acceptanceCriteria": ["Open it."],
        "passes": False,
        "priority": 1,
        "notes": "",
    }
    assert second["dependencies"] == ["1"]


def test_a_checklist_is_one(filled: Shell) -> None:
    """Items, steps and categories are Markdown; the rest stands in comments."""
    filled.dibs("export", "-o", "TODO.md")
    lines = (filled.folder / "TODO.md").read_text().splitlines()
    assert [line for line in lines if "<!--" not in line] == [
        "",
        "# default",
        "",
        "## account",
        "",
        "- [ ] Sign in",
        "  By e-mail.",
        "  - Open it.",
        "",
        "## general",
        "",
        "- [x] Zürich → €",
    ]


def test_beads_has_what_its_importer_demands(filled: Shell) -> None:
    """Closed issues have a time, priorities are 0 to 4, and dependencies are links of both ids."""
    filled.dibs("export", "-o", "issues.jsonl")
    header, first, second = map(json.loads, (filled.folder / "issues.jsonl").read_text().splitlines())
    assert header["_schema"] == "beads-jsonl/1"
    assert (first["id"], first["title"], first["status"], first["acceptance_criteria"]) == (
        *("dibs-1", "Sign in"),
        *("open", "Open it."),
    )
    assert "closed_at" not in first
    assert (second["status"], second["priority"], second["closed_at"][-1]) == ("closed", 4, "Z")
    (link,) = second["dependencies"]
    assert (link["issue_id"], link["depends_on_id"], link["type"]) == ("dibs-2", "dibs-1", "blocks")


@pytest.mark.parametrize("file", ["a.json", "prd.json", "a.jsonl", "a.md"])
def test_an_export_of_every_format_is_replaced_and_imported(filled: Shell, file: str) -> None:
    assert filled.dibs("export", "-o", file).returncode == 0
    filled.dibs("fail", 2, "It broke.")
    assert filled.dibs("export", "-o", file).returncode == 0
    done = filled.json("import", file)
    assert (done["added"], done["present"], done.get("differing", {})) == (0, 2, {})


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_changes_by_itself(filled: Shell, form: str) -> None:
    """Neither another call, nor a claim, its heartbeats and its end change the export."""
    before = filled.dibs("export", "--format", form).stdout
    assert filled.dibs("claim", 1, DIBS_AGENT="ada").returncode == 0
    claimed = filled.dibs("export", "--format", form)
    assert "not in the export: 1 claim." in claimed.stderr
    assert claimed.stdout == before
    filled.dibs("release", 1, DIBS_AGENT="ada")
    assert filled.dibs("export", "--format", form).stdout == before


def test_a_change_of_a_state_changes_few_lines(filled: Shell) -> None:
    before = filled.dibs("export").stdout.splitlines()
    filled.dibs("fail", 2, "It broke.")
    after = filled.dibs("export").stdout.splitlines()
    changed = set(before) ^ set(after)
    assert {line.strip() for line in changed} == {
        '"last_failure": "It broke.",',
        '"status": "passing",',
        '"passes": true',
    }


def test_an_export_is_replaced_and_nothing_else(filled: Shell) -> None:
    """An export is written again only if it has changed; another file is refused, unless --force says so."""
    file = filled.folder / "docs" / "backlog.json"
    assert filled.dibs("export", "-o", file).returncode == 0
    file.chmod(0o640)
    before = file.stat()
    assert "already" in filled.dibs("export", "-o", file).stdout
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    filled.dibs("fail", 2, "It broke.")
    assert filled.dibs("export", "-o", file).returncode == 0
    assert "It broke." in file.read_text()
    assert file.stat().st_mode == before.st_mode
    given = (filled.folder / "given.json").read_bytes()
    refused = filled.dibs("export", "-o", "given.json")
    assert (refused.returncode, "--in-place" in refused.stderr) == (2, True)
    assert (filled.folder / "given.json").read_bytes() == given
    assert filled.dibs("export", "-o", "given.json", "--force").returncode == 0
    assert (filled.folder / "given.json").read_bytes() == file.read_bytes()
    assert sorted(one.name for one in filled.folder.iterdir()) == [".git", "docs", "given.json"]


def test_a_formatted_export_is_still_one(filled: Shell) -> None:
    """An editor or a hook may format the file in another way."""
    file = filled.folder / "backlog.json"
    filled.dibs("export", "-o", file)
    file.write_text(json.dumps(json.loads(file.read_text())), encoding="utf-8-sig")
    assert filled.dibs("export", "-o", file).returncode == 0


def test_the_name_of_the_file_tells_the_format(filled: Shell) -> None:
    filled.dibs("export", "-o", "prd.json")
    assert "userStories" in json.loads((filled.folder / "prd.json").read_text())
    filled.dibs("export", "-o", "prd.json", "--format", "feature_list")
    assert "features" in json.loads((filled.folder / "prd.json").read_text())


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_json_stays_json_in_every_encoding(filled: Shell, encoding: str) -> None:
    """Characters that standard output lacks are escaped as JSON escapes them."""
    done = subprocess.run(
        [sys.executable, "-m", "dibs", "export"],
        cwd=filled.folder,
        env=filled.environment(PYTHONIOENCODING=encoding),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout.decode(encoding))["features"][1]["name"] == "Zürich → €"
    assert ("→" in done.stdout.decode(encoding)) == (encoding == "utf-8")


def test_a_report_is_json(filled: Shell) -> None:
    """The file is named, and whether it has changed."""
    done = filled.json("export", "-o", "x.json")
    assert done == {"file": "x.json", "changed": True, "features": 2, "left_out": {}}
    assert filled.json("export", "-o", "x.json")["changed"] is False
    done = filled.json("export", "--in-place", "given.json")
    assert done == {"file": "given.json", "features": 2, "changed": 0, "missing": 0, "unsaid": 0}
    assert filled.json("export")["features"][0]["name"] == "Sign in"


@pytest.mark.only_on("sqlite", reason="it is about files")
def test_a_backlog_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    done = Shell(tmp_path).dibs("export")
    assert (done.returncode, done.stdout) == (1, "")
    assert [one.name for one in tmp_path.iterdir()] == [".git"]


@pytest.mark.parametrize("more", [("-o", "x.json"), ("--format", "prd"), ("--force",)])
@pytest.mark.only_on("sqlite", reason="the options decide it")
def test_in_place_stands_alone(filled: Shell, more: tuple[str, ...]) -> None:
    done = filled.dibs("export", "--in-place", "given.json", *more)
    assert (done.returncode, "goes without" in done.stderr) == (2, True)
