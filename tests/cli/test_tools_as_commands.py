"""Every tool is a command, with the same arguments, the same answers and the same refusals."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import click
import pytest

from cli.shells import Shell
from dibs.cli import COMMANDS, commands, operation_commands
from dibs.cli.shell_wording import SHELL, option
from dibs_schema.next_step import Step
from dibs_schema.operations import BY_TOOL, OPERATIONS, AnyOperation
from dibs_schema.roles import Role


@cache
def command(words: str) -> click.Command:
    """Return the command with the given name."""
    found = commands.get_command(click.Context(commands), words.split(maxsplit=1)[0])
    assert found is not None, f"there is no `dibs {words}`"
    return found


@pytest.mark.parametrize("name", [*COMMANDS, *operation_commands()])
def test_every_command_and_option_says_what_it_is(name: str) -> None:
    """Every command and every option has a help text."""
    one = command(name)
    assert one.help
    assert [opt.opts for opt in one.params if isinstance(opt, click.Option) and not opt.help] == []


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.tool)
def test_every_parameter_of_an_operation_can_be_given_to_its_command(operation: AnyOperation) -> None:
    """Each parameter, and each flag of a shared command, is an argument or an option."""
    given = {spelled for one in command(operation.command.words).params for spelled in (*one.opts, *one.secondary_opts)}
    wanted = [
        one
        for name in operation.parameters
        for one in ([name] if name in operation.command.positional else option(operation.command, name).split("/"))
    ]
    other_forms = {"dependency_id": "dependency_ids", "--feature-id": "feature_ids"}
    assert [one for one in wanted if other_forms.get(one, one) not in given] == []
    assert [one for one in operation.command.words.split()[1:] if one not in given] == []


@pytest.mark.parametrize(
    ("step", "typed"),
    [
        (Step("feature_claim_and_get", {"feature_id": 7}), "`dibs claim 7`"),
        (
            Step("feature_claim_and_get", {"resume": True}, needs=("agent",)),
            "`dibs claim --resume --agent …`",
        ),
        (Step("feature_claim_and_get", {"wait_seconds": 45}), "`dibs claim --wait 45`"),
        (Step("feature_update", {"feature_id": 7, "archived": False}), "`dibs update 7 --restore`"),
        (Step("feature_mark_failing", {"feature_id": 7}, needs=("reason",)), "`dibs fail 7 REASON`"),
        (Step("ask_user", {"question_id": 3}), "`dibs ask-user --read 3`"),
        (
            Step("feature_remove_dependency", {"feature_id": 7, "dependency_id": 3}),
            "`dibs depend --remove 7 3`",
        ),
        (Step(None, {"wait_seconds": 45}), "it again with `--wait 45`"),
    ],
    ids=str,
)
def test_a_step_is_written_as_it_is_typed(step: Step, typed: str) -> None:
    """A call with its arguments becomes a command line."""
    assert SHELL.call(step) == typed


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
        (["search", "Look", "--in", "all"], "feature_search", {"text": "Look", "in": "all"}),
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
        told = json.loads(there.dibs(*words, "--json").stdout)
        if "error" in wanted:  # the message is worded for a shell
            assert told["error"].pop("message")
            wanted["error"].pop("message")
        assert told == wanted, tool


def told_by_a_server(there: Shell, calls: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the answers of a real server on the same backlog."""
    import anyio

    from dibs.client import Client, server_command

    async def ask() -> list[dict[str, Any]]:
        async with Client.start(server_command(), there.settings) as client:
            return [
                dict((await client.call_raw(tool, arguments)).structured_content or {}) for tool, arguments in calls
            ]

    return anyio.run(ask)


def test_a_whole_feature_is_built_in_a_shell(there: Shell) -> None:
    """Claim, note, ask, answer, claim again and pass work one after the other."""
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
    """Dependencies, descriptions, archiving and a stuck feature are changed by commands."""
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
    seen = there.json("show", 1)["claimed_at"]
    stale = there.json("release", 1, "--force", "--unless-claimed-since", "2020-01-01T00:00:00Z", status=2)
    assert (stale["error"]["field"], stale["error"]["since"]) == ("unless_claimed_since", seen)
    assert there.json("release", 1, "--force", "--unless-claimed-since", seen)["status"] == "pending"
    asked = there.json("ask-user", "Ship it?", "--option", "yes", "--option", "no")
    assert there.json("ask-user", "--read", asked["question_id"])["state"] == "open"


WORDS: list[list[object]] = [
    ["claim", 2], ["get", 1], ["summary", 1, 9], ["search"], ["ready"], ["blocked"], ["graph"], ["history", 1],
    ["stats", "--by", "agent"], ["note", 1, "n"], ["regression"], ["ask-user", "Ship?", "--option", "y", "--option", "n"],
]  # fmt: skip


def test_people_get_words_from_each_command(there: Shell) -> None:
    """Without --json the output is text, and strings of other agents are not read as markup."""
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
    """A refusal is a line for a person, without the names of fields."""
    ada = Shell(there.folder, {**there.settings, "DIBS_AGENT": "ada"})
    ada.json("add", "First", *NEW)
    for number in range(2, 15):
        ada.json("add", f"Feature {number}", *NEW, "--depends-on", 1)
    ada.json("claim", 1)
    shown = ", ".join(str(number) for number in range(2, 12))
    assert ada.dibs("pass", 1).stdout == f"Feature 1 is passing; unblocked: features {shown}, 3 more.\n"


@pytest.mark.parametrize("role", ["coder", "tester", "planner", "viewer"])
def test_a_role_is_refused_the_commands_of_other_roles(there: Shell, role: str) -> None:
    """`DIBS_ROLE` applies in a shell as on a server, before anything is read."""
    samples: dict[str, list[object]] = {
        "feature_skip": ["skip", 1, "later"],
        "feature_mark_passing": ["pass", 1],
        "feature_get_for_regression": ["regression"],
        "feature_update": ["update", 1, "--retry"],
        "feature_move": ["move", 1, "--to", "front"],
        "feature_approve": ["approve", 1],
        "feature_return": ["return", 1, "not yet"],
        "feature_reject": ["reject", 1, "not needed"],
        "feature_answer_human_input": ["answer", 1, "--cancel"],
        "feature_get_graph": ["graph"],
        "feature_get_stats": ["stats"],
    }
    for tool, words in samples.items():
        done = there.dibs(*words, "--json", DIBS_ROLE=role)
        code = json.loads(done.stdout).get("error", {}).get("code")
        allowed = Role(role) in BY_TOOL[tool].roles
        assert (code == "forbidden") is not allowed, (tool, done)
    there.json("add", "One", *NEW)
    there.json("claim", 1)
    assert there.json("release", 1, "--force", status=1, DIBS_ROLE="coder")["error"]["code"] == "forbidden"
