"""The docs say what the code does."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from dibs.settings import Settings
from dibs_schema.refusals import all_codes
from dibs_schema.status import MEANING, TRANSITIONS, Status

ROOT = Path(__file__).parent.parent
LIFECYCLE = ROOT / "docs" / "lifecycle.md"
SHELL = ROOT / "docs" / "shell.md"
README = ROOT / "README.md"


def lifecycle_tables() -> str:
    """The two tables of docs/lifecycle.md, from `status.py`."""
    states = "\n".join(f"| `{status}` | {MEANING[status]} |" for status in Status)
    moves = "\n".join(
        f"| {move.kind} | {_names(move.sources) or 'nothing'} → {_names(move.targets)} | {move.guard} | {move.effects} |"
        for move in TRANSITIONS
    )
    return (
        f"| status | means |\n|---|---|\n{states}\n\n"
        f"| move | from → to | guard | in the same transaction |\n|---|---|---|---|\n{moves}\n"
    )


def _names(statuses: tuple[Status, ...]) -> str:
    return ", ".join(f"`{status}`" for status in statuses)


def test_the_lifecycle_page_holds_the_tables_of_the_code() -> None:
    """docs/lifecycle.md and `status.py` say the same (DIBS_TEST_RENEW=1 writes the page's part anew)."""
    before, start, rest = LIFECYCLE.read_text(encoding="utf-8").partition("<!-- status.py -->\n")
    _, end, after = rest.partition("<!-- end -->\n")
    wanted = f"{before}{start}{lifecycle_tables()}{end}{after}"
    if os.environ.get("DIBS_TEST_RENEW"):
        LIFECYCLE.write_text(wanted, encoding="utf-8")
    assert LIFECYCLE.read_text(encoding="utf-8") == wanted


def test_every_refusal_is_documented() -> None:
    """docs/refusals.md names every code."""
    page = (ROOT / "docs" / "refusals.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)`", page, re.MULTILINE) == list(all_codes())


def test_every_setting_is_documented() -> None:
    """docs/settings.md names every variable and its default."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else str(field.default)
        assert re.search(
            rf"^\| `DIBS_{name.upper()}` \| `--{name.replace('_', '-')}` \| {default} \|", page, re.MULTILINE
        ), name


def test_every_tool_is_in_the_readme() -> None:
    """The README's table of tools is the catalogue."""
    from dibs_schema.operations import BY_TOOL

    rows = re.findall(r"^\| `((?:feature_|ask_)\w+)`", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(BY_TOOL)


def test_every_resource_and_prompt_is_documented() -> None:
    """docs/resources.md has a row for each resource, template and prompt, and the README names them."""
    from dibs.mcp.prompts.prompts import PROMPTS
    from dibs.mcp.resources.read import FIXED, TEMPLATES

    page = (ROOT / "docs" / "resources.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    offered = [one.uri for one in FIXED] + [one.uri_template for one in TEMPLATES]
    assert sorted(rows) == sorted([*offered, *(one.name for one in PROMPTS)])
    text = README.read_text(encoding="utf-8")
    named = [*(one.name for one in FIXED), *(one.name for one in PROMPTS)]
    assert [one for one in named if one not in text] == []


def test_every_command_is_documented() -> None:
    """The README, or the page about the shell to which it leads, names every command of `dibs`."""
    from dibs.cli import COMMANDS

    text = README.read_text(encoding="utf-8") + SHELL.read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"`dibs {name}" not in text] == []


def shell_table() -> str:
    """The table of the commands that stand for operations, from the table of operations."""
    import click

    from dibs.cli import commands
    from dibs.cli.wording import option
    from dibs_schema.operations import OPERATIONS
    from dibs_schema.roles import EVERYONE

    rows = []
    for operation in OPERATIONS:
        words = operation.command.words
        command = commands.get_command(click.Context(commands), words.split()[0])
        assert command is not None, words
        arguments = "".join(
            f" {one.make_metavar(click.Context(command))}"
            for one in command.params
            if isinstance(one, click.Argument)
        )
        options = ", ".join(
            f"`{option(operation.command, name)}`"
            for name in operation.parameters
            if name not in operation.command.positional and name != "feature_id"
        )
        roles = "all" if operation.roles == EVERYONE else ", ".join(operation.roles)
        rows.append(f"| `dibs {words}{arguments}` | `{operation.tool}` | {options} | {roles} |\n")
    return "| command | tool | options of the tool | roles |\n|---|---|---|---|\n" + "".join(rows)


def test_the_page_about_the_shell_holds_the_table_of_the_code() -> None:
    """docs/shell.md and `cli/spelling.py` say the same (DIBS_TEST_RENEW=1 writes the page's part anew)."""
    before, start, rest = SHELL.read_text(encoding="utf-8").partition("<!-- spelling.py -->\n")
    _, end, after = rest.partition("<!-- end -->\n")
    wanted = f"{before}{start}{shell_table()}{end}{after}"
    if os.environ.get("DIBS_TEST_RENEW"):
        SHELL.write_text(wanted, encoding="utf-8")
    assert SHELL.read_text(encoding="utf-8") == wanted


def test_the_example_configuration_is_what_clients_read() -> None:
    """`.mcp.json.example` registers the server `features` and starts `dibs-mcp`."""
    config = json.loads((ROOT / ".mcp.json.example").read_text(encoding="utf-8"))
    assert config["mcpServers"]["features"]["command"] == "dibs-mcp"
    assert re.fullmatch(r"\$\{\w+:-[^}]*\}", config["mcpServers"]["features"]["env"]["DIBS_DB"])


def test_links_between_pages_lead_somewhere() -> None:
    """Every relative link in the README and docs names a file that exists."""
    pages = [README, ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    missing = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert missing == []


def test_the_clients_page_names_the_versions_that_are_driven() -> None:
    """docs/clients.md names each client in the version that `make e2e` fetches."""
    pins = json.loads((ROOT / "tests" / "e2e" / "package.json").read_text(encoding="utf-8"))["dependencies"]
    page = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    assert [name for name, version in pins.items() if name != "node" and version not in page] == []
