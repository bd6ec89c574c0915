"""Every tool is a command, with the same arguments, the same answers and the same refusals."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
from dibs.cli.spelling import SPELLINGS, spoken
from dibs.mcp.catalogue import CATALOGUE, build

import dibs
import dibs_schema
from cli.shells import Shell
from dibs.cli import COMMANDS, commands
from dibs_schema.roles import Role

SHARED = {"db", "project", "isolated", "role", "as_json"}
"""What every command of a tool has besides."""


@cache
def command(words: str) -> click.Command:
    """The command of that name."""
    found = commands.get_command(click.Context(commands), words.split(maxsplit=1)[0])
    assert found is not None, f"there is no `dibs {words}`"
    return found


def spellings_of(one: click.Command) -> dict[str, str]:
    """Each parameter of a command by the way it is given: `FEATURE_ID`, `--limit`, `--archive/--restore`."""
    return {
        one.name.upper()
        if isinstance(one, click.Argument) and one.name
        else "/".join([*one.opts, *one.secondary_opts]): str(one.name)
        for one in one.params
    }


def test_every_tool_has_a_command_and_no_command_stands_for_another() -> None:
    """A tool that is added needs a line in the table; one that goes takes its line along."""
    assert list(SPELLINGS) == [entry.function.__name__ for entry in CATALOGUE]


@pytest.mark.parametrize("tool", SPELLINGS)
def test_every_parameter_of_a_tool_can_be_given_to_its_command(tool: str) -> None:
    """A parameter that a tool gains needs its option or argument, and the table names no other."""
    spelling = SPELLINGS[tool]
    given = spellings_of(command(spelling.command))
    wanted = build(Role.ALL)[tool].parameters["properties"]
    assert set(spelling.parameters) == set(wanted)
    assert [one for one in spelling.parameters.values() if one not in given] == []
    assert [one for one in spelling.command.split()[1:] if one not in given] == []


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.function.__name__)
def test_a_command_is_for_the_roles_of_its_tool(entry: Any) -> None:
    """A role has the commands of its tools."""
    assert set(SPELLINGS[entry.function.__name__].roles) == set(entry.roles)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_says_what_it_is(name: str) -> None:
    """No command is without words, and no option without help."""
    one = command(name)
    assert one.help
    assert [opt.opts for opt in one.params if isinstance(opt, click.Option) and not opt.help] == []


# -- the words of refusals ------------------------------------------------------------------------


def messages() -> list[str]:
    """Every text in the verbs, the database and the schema that names a tool or a parameter, with 7 for each value."""
    found: list[str] = []
    roots = [Path(dibs.__file__).parent / "verbs", Path(dibs.__file__).parent / "database"]
    roots.append(Path(str(dibs_schema.__file__)).parent)
    for path in sorted(one for root in roots for one in root.rglob("*.py") if "versions" not in one.parts):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = (
                    one.value if isinstance(one, ast.Constant) and isinstance(one.value, str) else "7"
                    for one in node.values
                )
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
                found.append(node.value)
    # Sentences alone: a docstring, the name of a column or the tool of a request is said to nobody.
    said = [text for text in found if re.search(r"\w+ .*[.;]", text) and "\n" not in text]
    return [text for text in dict.fromkeys(said) if AGENTS_WORDS.search(text)]


PARAMETERS = {name for spelling in SPELLINGS.values() for name in spelling.parameters}
AGENTS_WORDS = re.compile(rf"\b(?:{'|'.join(SPELLINGS)}|claim_token|request_id|(?:{'|'.join(PARAMETERS)})=)")


def test_there_are_messages_to_be_said_in_other_words() -> None:
    """The search for messages finds those that are known to be there."""
    assert any("the same request_id or claim_token" in text for text in messages())


@pytest.mark.parametrize("text", messages(), ids=lambda text: text[:40])
def test_what_is_said_in_a_shell_names_commands_that_are_there(text: str) -> None:
    """No refusal or hint that reaches a shell names a tool, and each command in it exists, with its options."""
    said = spoken(text)
    assert not AGENTS_WORDS.search(said), said
    for phrase in re.findall(r"`(dibs [^`]+)`", said):
        words = phrase.split()[1:]
        options = spellings_of(command(words[0]))
        known = {part for spelled in options for part in spelled.split("/")}
        assert [one for one in words[1:] if one.startswith("--") and one not in known] == []
    every = {part for name in COMMANDS for one in spellings_of(command(name)) for part in one.split("/")}
    assert [one for one in re.findall(r"`(--[a-z-]+)", said) if one not in every] == []


@pytest.mark.parametrize(
    ("said_to_an_agent", "said_in_a_shell"),
    [
        ("Claim it first: feature_claim_and_get with feature_id=7.", "Claim it first: `dibs claim 7`."),
        ("call feature_claim_and_get with resume=true to go on", "call `dibs claim --resume` to go on"),
        (
            "feature_claim_and_get with your agent name and resume=true",
            "`dibs claim` with your agent name and `--resume`",
        ),
        ("with feature_update archived=false.", "with `dibs update --restore`."),
        ("Call again with wait_seconds=45.", "Call again with `--wait 45`."),
        ("with ask_user question_id=3;", "with `dibs ask-user --read 3`;"),
        ("Send claim_token from", "Send `--token` from"),
        ("Feature 7 is archived, and its note is text.", "Feature 7 is archived, and its note is text."),
    ],
)
def test_a_call_is_said_as_it_is_typed(said_to_an_agent: str, said_in_a_shell: str) -> None:
    """A tool with its arguments becomes a command line; everything else stays as it is."""
    assert spoken(said_to_an_agent) == said_in_a_shell


# -- the same answers -----------------------------------------------------------------------------

NEW = ("--category", "core", "--description", "What it does.", "--step", "Look.")


def test_a_shell_gets_the_answers_that_a_server_gives(there: Shell) -> None:
    """Each command prints, with --json, what its tool answers about the same backlog."""
    batch = [
        {
            "category": "core",
            "name": f"Feature {n}",
            "description": "d",
            "steps": ["s"],
            "depends_on_indices": needs,
        }
        for n, needs in enumerate([[], [0], [1]])
    ]
    assert there.json("add", "First", *NEW) == {"ids": [1], "count": 1}
    assert there.dibs("plan", typed=json.dumps(batch)).stdout == "3 added: 2, 3, 4\n"
    calls: list[tuple[list[object], str, dict[str, Any]]] = [
        (["get", 2], "feature_get_by_id", {"feature_id": 2}),
        (["summary", 1, 9], "feature_get_summary", {"feature_ids": [1, 9]}),
        (["search", "Feature", "--limit", 2], "feature_search", {"text": "Feature", "limit": 2}),
        (["search", "--detail", "full"], "feature_search", {"detail": "full"}),
        (["ready"], "feature_get_ready", {}),
        (["blocked"], "feature_get_blocked", {}),
        (["graph", "--root", 4], "feature_get_graph", {"root": 4}),
        (["graph", "--format", "mermaid"], "feature_get_graph", {"format": "mermaid"}),
        (["history", 2], "feature_get_history", {"feature_id": 2}),
        (["stats", "--by", "category"], "feature_get_stats", {"by": "category"}),
        (["ask-user", "--read", 5], "ask_user", {"question_id": 5}),
        (["skip", 99, "no"], "feature_skip", {"feature_id": 99, "reason": "no"}),
        (["heartbeat", 1], "feature_heartbeat", {"feature_id": 1}),
        (["fail", 1, "x" * 2_001], "feature_mark_failing", {"feature_id": 1, "reason": "x" * 2_001}),
        (["graph", "--depth", 51], "feature_get_graph", {"depth": 51}),
    ]
    answers = told_by_a_server(there, [(tool, arguments) for _, tool, arguments in calls])
    for (words, tool, _), wanted in zip(calls, answers, strict=True):
        if "error" in wanted:
            wanted["error"]["message"] = spoken(wanted["error"]["message"])
        assert json.loads(there.dibs(*words, "--json").stdout) == wanted, tool


def told_by_a_server(there: Shell, calls: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """What a real server on the same backlog answers to these calls."""
    import anyio

    from dibs.client import Client, server_command

    async def ask() -> list[dict[str, Any]]:
        async with Client.start(server_command(), there.settings) as client:
            return [
                dict((await client.call_raw(tool, arguments)).structured_content or {})
                for tool, arguments in calls
            ]

    return anyio.run(ask)


def test_a_whole_feature_is_built_in_a_shell(there: Shell) -> None:
    """Claim, note, ask, answer, claim again, pass: each step with what the one before it left behind."""
    ada = Shell(there.folder, {**there.settings, "DIBS_AGENT": "ada"})
    ada.json("add", "First", *NEW)
    ada.json("add", "Second", *NEW, "--depends-on", 1, "--path", "src", "--path", "docs/*.md")
    assert ada.json("get", 2)["paths"] == ["src", "docs/*.md"]
    ada.json("update", 2, "--path", "lib/")
    assert ada.json("get", 2)["paths"] == ["lib"]
    ada.json("update", 2, "--no-paths")
    assert "paths" not in ada.json("get", 2)
    claimed = ada.json("claim")
    assert (claimed["state"], claimed["feature"]["id"], claimed["claim"]["renewed"]) == ("claimed", 1, False)
    assert ada.json("note", 1, "Mind the gap.")["noted"]
    assert ada.json("ask", 1, "Which colour?", "--select", "colour=red,blue")["status"] == "needs_human"
    assert ada.json("answer", 1, "--set", "colour=blue")["status"] == "pending"
    again = ada.json("claim", 1)["feature"]
    assert again["notes"][0]["text"] == "Mind the gap."
    assert again["human_answer"]["answers"] == {"colour": "blue"}
    passed = ada.json("pass", 1, "--evidence", "Works.", "--ran", 0, "make test", "--commit", "abc123")
    assert passed["unblocked"] == [2]
    assert ada.json("get", 1)["evidence"] == {
        "summary": "Works.",
        "commands": [{"command": "make test", "exit_code": 0}],
        "commit": "abc123",
    }
    assert [one["id"] for one in ada.json("regression")["features"]] == [1]
    assert ada.json("fail", 1, "It broke.")["status"] == "pending"


def test_a_planner_orders_the_backlog_in_a_shell(there: Shell) -> None:
    """Dependencies, texts, the board and a stuck feature are changed by commands."""
    for name in ("One", "Two", "Three"):
        there.json("add", name, *NEW)
    assert there.json("depend", 3, 1)["changed"] == ["+1"]
    assert there.json("depend", 3, 2, 1, "--only")["changed"] == ["+2"]
    assert there.json("depend", 3, 1, "--remove")["unmet_dependencies"] == 1
    assert there.json("depend", 2, 3, status=1)["error"]["code"] == "would_cycle"
    assert there.json("update", 1, "--name", "Uno", "--step", "a", "--step", "b")["changed"] == [
        "name",
        "steps",
    ]
    assert there.json("update", 1, "--archive")["status"] == "archived"
    assert there.json("update", 1, "--restore")["status"] == "pending"
    for _ in range(3):
        there.json("skip", 1, "not now")
    assert there.json("get", 1)["status"] == "stuck"
    assert there.json("update", 1, "--retry")["status"] == "pending"
    assert there.json("claim", 1, "--brief")["status"] == "in_progress"
    assert there.dibs("release", 1).returncode == 1
    assert there.json("release", 1, "--force")["status"] == "pending"
    asked = there.json("ask-user", "Ship it?", "--option", "yes", "--option", "no")
    assert there.json("ask-user", "--read", asked["question_id"])["state"] == "open"


WORDS: list[list[object]] = [
    ["claim", 2], ["get", 1], ["summary", 1, 9], ["search"], ["ready"], ["blocked"], ["graph"], ["history", 1],
    ["stats", "--by", "agent"], ["note", 1, "n"], ["regression"], ["ask-user", "Ship?", "--option", "y", "--option", "n"],
]  # fmt: skip


def test_people_get_words_from_each_command(there: Shell) -> None:
    """Without --json there are words, and what others wrote is no markup in them."""
    there.json("add", "[bold]First[/]", *NEW)
    there.json("add", "[/nonsense] Second", *NEW)
    for words in WORDS:
        done = there.dibs(*words)
        assert (done.returncode, done.stderr) == (0, ""), words
        assert done.stdout.strip(), words
        assert not done.stdout.startswith("{"), words
    assert "[bold]First[/]" in there.dibs("get", 1).stdout
    assert "[/nonsense] Second" in there.dibs("search").stdout
    assert "What it does.\n  1. Look." in there.dibs("search", "--detail", "full").stdout


def test_a_pass_names_what_it_unblocks_and_counts_the_rest(there: Shell) -> None:
    """A line for a person, not the names of fields."""
    ada = Shell(there.folder, {**there.settings, "DIBS_AGENT": "ada"})
    ada.json("add", "First", *NEW)
    for number in range(2, 15):
        ada.json("add", f"Feature {number}", *NEW, "--depends-on", 1)
    ada.json("claim", 1)
    shown = "; ".join(str(number) for number in range(2, 12))
    assert ada.dibs("pass", 1).stdout == f"Feature 1 is passing; unblocked: {shown}; 3 more.\n"


@pytest.mark.parametrize("role", ["coder", "tester", "planner", "viewer"])
def test_a_role_is_refused_the_commands_of_other_roles(there: Shell, role: str) -> None:
    """`DIBS_ROLE` holds in a shell as on a server, before anything is looked at."""
    samples: dict[str, list[object]] = {
        "feature_claim_and_get": ["claim"],
        "feature_mark_passing": ["pass", 1],
        "feature_get_for_regression": ["regression"],
        "feature_update": ["update", 1, "--retry"],
        "feature_answer_human_input": ["answer", 1, "--cancel"],
        "feature_get_graph": ["graph"],
        "feature_get_stats": ["stats"],
    }
    for tool, words in samples.items():
        done = there.dibs(*words, "--json", DIBS_ROLE=role)
        code = json.loads(done.stdout).get("error", {}).get("code")
        allowed = Role(role) in SPELLINGS[tool].roles
        assert (code == "forbidden") is not allowed, (tool, done)
    there.json("add", "One", *NEW)
    there.json("claim", 1)
    assert there.json("release", 1, "--force", status=1, DIBS_ROLE="coder")["error"]["code"] == "forbidden"
