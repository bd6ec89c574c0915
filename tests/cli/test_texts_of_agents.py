"""Texts that agents wrote appear as they are: no markup, no emoji codes, and no line that another text has forged."""

from __future__ import annotations

import json
import re

import pytest

from cli.shells import Shell

NAME = "a :smile: [bold]name[/bold] \\"
FORGED = "x\n13:00:00      #5  pass       root                 pending -> passing"
NEW = ("--category", ":cat: \\", "--description", f"a\n:dog: [red]{NAME}", "--step", "look :eyes: \\")
TIME = r"(\d+ \w+ ago|in \d+ \w+) \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\)"
COMMANDS = ["show 1", "list", "get 1", "search smile", "ready", "history 1", "status", "answer", "graph", "summary 1"]


def worked_on(there: Shell) -> None:
    """Make a feature whose texts try to be something else, and let each verb write such a text."""
    there.json("settings", "back_off", 0)
    there.json("add", NAME, *NEW)
    there.json("claim", DIBS_AGENT=":boy: [b]")
    there.json("note", 1, FORGED, DIBS_AGENT=":boy: [b]")
    there.json("fail", 1, FORGED, DIBS_AGENT=":boy: [b]")


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_text_is_never_markup(there: Shell, command: str) -> None:
    """Codes and brackets stay as they are, a trailing backslash stays single, and an event has one line."""
    worked_on(there)
    done = there.dibs(*command.split())
    assert done.returncode == 0, done.stderr
    assert not any(ord(one) > 0x2FFF for one in done.stdout), done.stdout
    assert "\\\\" not in done.stdout
    assert not any(line.startswith("13:00:00") for line in done.stdout.splitlines()), done.stdout
    if command not in ("status", "history 1", "answer", "graph"):
        assert NAME in done.stdout


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_blocked_and_claim_show_texts_as_they_are(there: Shell) -> None:
    """A blocked feature, a claim with notes, and questions to a person are no markup either."""
    worked_on(there)
    there.json("add", f"{NAME} two", *NEW)
    there.json("depend", 2, 1)
    assert f"{NAME} two" in there.dibs("blocked").stdout
    there.json("add", f"{NAME} three", *NEW)
    claimed = there.dibs("claim", 3)
    assert f"3 {NAME} three   [:cat: \\]\na\n:dog: [red]{NAME}\n  1. look :eyes: \\\n" in claimed.stdout
    token = claimed.stdout.split("token: ")[1].split()[0]
    asked = there.dibs("ask", 3, f"{FORGED} :smile:", "--token", token)
    assert asked.returncode == 0, asked.stderr
    questions = there.dibs("answer").stdout
    assert "x\\n13:00:00 " in questions
    assert ":smile:" in questions


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_an_event_that_is_followed_is_one_line(there: Shell) -> None:
    """A reason with a line break cannot print another event."""
    worked_on(there)
    there.json("claim", 1, DIBS_AGENT="ada")
    there.json("pass", 1, DIBS_AGENT="ada")
    done = there.dibs("follow", "--after", "0-0", "--until-complete")
    lines = done.stdout.splitlines()
    assert len(lines) == 7, done.stdout
    assert sum("x\\n13:00:00" in line for line in lines) == 2


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_the_history_has_a_line_for_each_attempt_and_event(there: Shell) -> None:
    """An attempt's line says who, since when, how it ended and why; its events follow, indented."""
    worked_on(there)
    there.json("claim", 1, DIBS_AGENT="eve")
    there.json("pass", 1, "--evidence", FORGED, DIBS_AGENT="eve")
    for command in ("show", "history"):
        printed = re.sub(TIME, "T", there.dibs(command, 1).stdout)
        lines = re.sub(r"after \d+ s", "after N s", printed).splitlines()
        passed = next(place for place, line in enumerate(lines) if line.startswith("  attempt of eve"))
        forged = FORGED.replace("\n", r"\n")
        assert lines[passed:] == [
            f"  attempt of eve, T: passed after N s; evidence: {forged}",
            "    T eve pass in_progress -> passing unblocked_count: 0",
            "    T eve claim pending -> in_progress",
            f"  attempt of :boy: [b], T: failed after N s; reason: {forged}",
            "    T :boy: [b] fail in_progress -> pending status: pending, failures: 1, ready_at: T",
            f"    T :boy: [b] note in_progress note: {forged}",
            "    T :boy: [b] claim pending -> in_progress",
            f"  T {lines[-1].split()[1]} create pending",
        ]


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_a_long_description_is_not_wrapped_in_a_pipe(there: Shell) -> None:
    """A program that reads `dibs show` gets each line as it was written."""
    text = " ".join(["word"] * 60)
    there.json("add", "One", "--category", "core", "--description", text, "--step", text)
    shown = there.dibs("show", 1).stdout.splitlines()
    assert text in shown
    assert f"  1. {text}" in shown


@pytest.mark.only_on("sqlite", reason="no engine plays a part")
def test_a_list_has_no_empty_columns(there: Shell) -> None:
    """Columns for holders and for what is waited for appear where a feature has one."""
    there.json("add", "One", "--category", "core", "--description", "d", "--step", "s")
    assert there.dibs("list").stdout.split("\n")[0].split() == ["id", "status", "category", "name"]
    there.json("claim", DIBS_AGENT="ada")
    assert there.dibs("list").stdout.split("\n")[0].split() == ["id", "status", "category", "name", "held", "by"]


def test_a_stuck_feature_has_no_time_at_which_it_is_ready(there: Shell) -> None:
    """Neither the feature nor its history names one, and times in the history are in ISO 8601."""
    there.json("add", "One", "--category", "core", "--description", "d", "--step", "s")
    there.json("settings", "max_failures", 2)
    there.json("claim", 1, DIBS_AGENT="ada")
    there.json("fail", 1, "no", DIBS_AGENT="ada")
    shown = there.json("show", 1)
    assert shown["history"][0]["events"][0]["detail"]["ready_at"] == shown["ready_at"]
    there.json("settings", "max_failures", 1)
    there.json("settings", "back_off", 0)
    there.json("add", "Two", "--category", "core", "--description", "d", "--step", "s")
    there.json("claim", 2, DIBS_AGENT="ada")
    there.json("fail", 2, "no", DIBS_AGENT="ada")
    there.json("settings", "back_off", 30)
    stuck = there.json("show", 2)
    assert (stuck["status"], "ready_at" in json.dumps(stuck)) == ("stuck", False)
