"""The pages agree with the code: tables are generated, names are complete, links are valid.

`DIBS_TEST_RENEW=1` writes the generated blocks; read the difference before you commit it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import click
import pytest

from dibs.settings import Settings
from dibs_schema.operations import OPERATIONS, AnyOperation
from dibs_schema.project_settings import ProjectSettings
from dibs_schema.refusals import all_codes
from dibs_schema.roles import EVERYONE
from dibs_schema.status import MEANING, TRANSITIONS, Kind, Status

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.glob("**/*.md")]


def table(head: str, rows: Iterable[str]) -> str:
    """Return a Markdown table."""
    return "\n".join([head, re.sub(r"[^|]+", "---", head), *rows])


def states() -> str:
    """The states of a feature."""
    return table("| status | meaning |", (f"| `{one}` | {MEANING[one]} |" for one in Status))


def transitions() -> str:
    """The transitions of a feature."""

    def names(statuses: tuple[Status, ...]) -> str:
        return code(statuses) or "nothing"

    return table(
        "| transition | from → to | guard | in the same transaction |",
        (
            f"| {one.kind} | {names(one.sources)} → {names(one.targets)} | {one.guard} | {one.effects} |"
            for one in TRANSITIONS
        ),
    )


def settings() -> str:
    """The settings of a process."""
    return table(
        "| variable | option | default | meaning |",
        (
            f"| `DIBS_{name.upper()}` | `--{name.replace('_', '-')}` | "
            f"{'' if field.default is None else field.default} | {field.description} |"
            for name, field in Settings.model_fields.items()
        ),
    )


def project_settings() -> str:
    """The settings of a project."""
    return table(
        "| setting | default | meaning |",
        (
            f"| `{name}` | {field.default} | {field.description} |"
            for name, field in ProjectSettings.model_fields.items()
        ),
    )


def roles(operation: AnyOperation) -> str:
    """The roles that have an operation."""
    return "all" if operation.roles == EVERYONE else ", ".join(operation.roles)


def tools() -> str:
    """The tools, as agents see them."""
    return table(
        "| tool | what it does | parameters | roles |",
        (f"| `{one.tool}` | {one.description} | {code(one.parameters)} | {roles(one)} |" for one in OPERATIONS),
    )


def operation_commands() -> str:
    """The commands that stand for tools."""
    from dibs.cli import commands
    from dibs.cli.shell_wording import option

    rows = []
    for one in OPERATIONS:
        words, positional = one.command.words, one.command.positional
        command = commands.get_command(click.Context(commands), words.split()[0])
        assert command is not None, words
        arguments = "".join(
            f" {each.make_metavar(click.Context(command))}"
            for each in command.params
            if isinstance(each, click.Argument)
        )
        options = code(option(one.command, name) for name in one.parameters if name not in (*positional, "feature_id"))
        rows.append(f"| `dibs {words}{arguments}` | `{one.tool}` | {options} | {roles(one)} |")
    return table("| command | tool | options of the tool | roles |", rows)


def methods() -> str:
    """The methods of the Python client."""
    return table("| method | tool |", (f"| `{one.method}` | `{one.tool}` |" for one in OPERATIONS))


def list_fields() -> str:
    """The names of the fields of an imported feature."""
    from dibs.transfer.formats import vocabulary as words

    fields = {
        "id": words.IDS,
        "name": words.NAMES + words.SPARE_NAMES,
        "description": words.DESCRIPTIONS + words.DETAILS,
        "category": words.CATEGORIES + words.SPARE_CATEGORIES,
        "steps": words.STEPS,
        "dependencies": words.DEPENDENCIES + words.BLOCKERS + words.DEPENDENCY_INDICES,
        "priority": words.PRIORITIES,
        "phase": words.PHASES,
        "paths": words.PATHS,
        "notes": words.NOTES,
        "status": words.STATUSES,
        "passing, as a boolean": words.FLAGS,
        "other states, as booleans": words.HUMAN_FLAGS + words.PROGRESS_FLAGS + words.BLOCKED_FLAGS,
        "evidence": words.EVIDENCE,
        "last failure": words.FAILURES,
        "question to a person": words.REQUESTS,
        "answer of a person": words.ANSWERS,
    }
    return table(
        "| field | names, the first that fits |",
        (f"| {one} | {code(names)} |" for one, names in fields.items()),
    )


def list_words() -> str:
    """The meaning of the words for a status or a priority in an imported list."""
    from dibs.transfer.formats.vocabulary import BLOCKED, PRIORITY_WORDS, STATUS_WORDS

    found: dict[str, list[str]] = {}
    for word, status in STATUS_WORDS.items():
        found.setdefault("blocked" if word in BLOCKED else f"status `{status}`", []).append(word)
    for word, number in PRIORITY_WORDS.items():
        found.setdefault(f"priority {number}", []).append(word)
    return table("| becomes | words |", (f"| {one} | {code(words)} |" for one, words in found.items()))


def records() -> str:
    """The fields and status words of the tools that have a record for each entry."""
    from dibs.transfer.formats import (
        backlog_md,
        beads,
        claude_tasks,
        github_issues,
        hermes,
        issue_csv,
        shrimp,
        task_master,
    )
    from dibs.transfer.formats.records import Record

    tools: dict[str, type[Record]] = {
        "beads": beads.Issue,
        "Task Master": task_master.Task,
        "Backlog.md": backlog_md.Task,
        "shrimp": shrimp.Task,
        "Claude Code Tasks": claude_tasks.Task,
        "GitHub": github_issues.Issue,
        "Linear": issue_csv.LinearIssue,
        "Jira": issue_csv.JiraIssue,
        "hermes-agent": hermes.Task,
    }
    rows = []
    for tool, record in tools.items():
        fields = [
            f"`{info.alias or name}` → {info.description or name.replace('_', ' ')}"
            for name, info in record.model_fields.items()
        ]
        words: dict[str, list[str]] = {}
        for word, status in record.STATUSES.items():
            words.setdefault(status, []).append(word)
        statuses = [f"{code(listed)} → {status}" for status, listed in words.items()]
        rows.append(f"| {tool} | {'; '.join(fields)} | {'; '.join(statuses)} | {code(record.LEFT_OUT)} |")
    return table("| tool | its fields | its status words | left out |", rows)


def checklists() -> str:
    """The tools that write checklists, and what their boxes mean."""
    from dibs.transfer.formats.dialects import DIALECTS, MARKS, PLAIN

    places = {"Kiro tasks": "`.kiro/specs/*/tasks.md`", "OpenSpec tasks": "`openspec/changes/*/tasks.md`"}
    places |= {"spec-kit tasks": "`specs/*/tasks.md`", "checklist": "any other Markdown file"}
    rows = []
    for one in (*DIALECTS, PLAIN):
        marks: dict[str, list[str]] = {}
        for mark, status in {**MARKS, **one.marks}.items():
            marks.setdefault(status, []).append(f"[{mark}]")
        boxes = "; ".join(f"{code(listed)} → {status}" for status, listed in marks.items())
        phase = "first part of the number" if one.dotted else "heading" if one.number else ""
        rows.append(f"| {one.name} | {places[one.name]} | {phase} | {boxes} |")
    return table("| format | place | phase | boxes |", rows)


def places() -> str:
    """Where `dibs import` looks for backlogs."""
    from dibs.transfer.formats.places import PLACES

    return f"{code(PLACES)}."


def code(names: Iterable[str]) -> str:
    """Return names in code type."""
    return ", ".join(f"`{one}`" for one in names)


GENERATED: list[tuple[str, str, Callable[[], str]]] = [
    ("reference/lifecycle.md", "states", states),
    ("reference/lifecycle.md", "transitions", transitions),
    ("reference/settings.md", "settings", settings),
    ("reference/settings.md", "project settings", project_settings),
    ("reference/tools.md", "tools", tools),
    ("reference/cli.md", "commands", operation_commands),
    ("reference/client.md", "methods", methods),
    ("reference/feature-list.md", "fields", list_fields),
    ("reference/feature-list.md", "words", list_words),
    ("reference/formats.md", "records", records),
    ("reference/formats.md", "checklists", checklists),
    ("reference/formats.md", "places", places),
]


@pytest.mark.parametrize(("page", "name", "generate"), GENERATED, ids=[f"{page} {name}" for page, name, _ in GENERATED])
def test_a_generated_block_is_what_the_code_says(page: str, name: str, generate: Callable[[], str]) -> None:
    """The block between the marks is the generated table."""
    path = DOCS / page
    old = path.read_text(encoding="utf-8")
    found = re.search(rf"(?<=^<!-- {name} -->\n).*?(?=^<!-- /{name} -->$)", old, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page} has no block {name}"
    wanted = f"{old[: found.start()]}{generate()}\n{old[found.end() :]}"
    if os.environ.get("DIBS_TEST_RENEW"):
        path.write_text(wanted, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == wanted


def resources() -> list[str]:
    """Every resource's and template's URI."""
    from dibs.mcp.resources.read import FIXED, TEMPLATES

    return [*(one.uri for one in FIXED), *(one.uri_template for one in TEMPLATES)]


def prompts() -> list[str]:
    """Every prompt's name."""
    from dibs.mcp.prompts.prompts import PROMPTS

    return [one.name for one in PROMPTS]


def other_commands() -> list[str]:
    """The commands that do not stand for one tool alone."""
    from dibs.cli import COMMANDS

    return [f"dibs {name}" for name in COMMANDS]


COMPLETE: list[tuple[str, str, Callable[[], Iterable[str]]]] = [
    ("reference/cli.md", "other commands", other_commands),
    ("reference/refusals.md", "codes", all_codes),
    ("reference/events.md", "kinds", lambda: list(Kind)),
    ("reference/resources.md", "resources", resources),
    ("reference/resources.md", "prompts", prompts),
]


@pytest.mark.parametrize(("page", "name", "wanted"), COMPLETE, ids=[f"{page} {name}" for page, name, _ in COMPLETE])
def test_a_table_has_a_row_for_everything(page: str, name: str, wanted: Callable[[], Iterable[str]]) -> None:
    """A table whose meanings are written by hand names each thing of the code once, and nothing else."""
    text = (DOCS / page).read_text(encoding="utf-8")
    text = text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]
    rows = re.findall(r"^\| `([^`\[]+?)(?: [-A-Z][^`]*)?`", text, re.MULTILINE)
    assert sorted(rows) == sorted(wanted())


def test_the_example_configuration_is_what_clients_read() -> None:
    """`.mcp.json.example` registers the server `features` and starts `dibs-mcp`."""
    config = json.loads((ROOT / ".mcp.json.example").read_text(encoding="utf-8"))
    assert config["mcpServers"]["features"]["command"] == "dibs-mcp"
    assert re.fullmatch(r"\$\{\w+:-[^}]*\}", config["mcpServers"]["features"]["env"]["DIBS_DB"])


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere() -> None:
    """Every relative link names an existing file, and an existing heading in it."""
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
            path, _, anchor = target.partition("#")
            file = (page.parent / path) if path else page
            if not file.exists() or (anchor and anchor not in anchors(file)):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


@pytest.mark.parametrize(("index", "pages"), [("README.md", "[!d]*/*.md"), ("decisions/README.md", "*.md")])
def test_an_index_names_every_page(index: str, pages: str) -> None:
    """A reader reaches every page from the index of docs/, and every decision from the decisions' index."""
    page = DOCS / index
    linked = {(page.parent / one).resolve() for one in re.findall(r"\]\(([^)#]+\.md)", page.read_text("utf-8"))}
    assert set(page.parent.glob(pages)) - linked - {page} == set()


def test_every_test_that_a_page_names_exists() -> None:
    """A test in the form `folder/test_file.py::test_name` is there under tests/."""
    missing = []
    for page in PAGES:
        for file, name in re.findall(r"`([\w/]+\.py)::(\w+)`", page.read_text(encoding="utf-8")):
            path = ROOT / "tests" / file.removeprefix("tests/")
            if not path.is_file() or f"def {name}(" not in path.read_text(encoding="utf-8"):
                missing.append(f"{page.relative_to(ROOT)}: {file}::{name}")
    assert missing == []


def test_the_clients_page_names_the_versions_that_are_driven() -> None:
    """docs/internals/clients.md names each client in the version that `make e2e` fetches."""
    pins = json.loads((ROOT / "tests" / "e2e" / "package.json").read_text(encoding="utf-8"))["dependencies"]
    page = (DOCS / "internals" / "clients.md").read_text(encoding="utf-8")
    assert [name for name, version in pins.items() if name != "node" and version not in page] == []
