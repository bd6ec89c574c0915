"""Messages say what is true, and what a reader who does not know Dibs does next."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.shells import Shell

NEW = ("--category", "core", "--description", "What it does.", "--step", "Look.")

pytestmark = pytest.mark.only_on("sqlite", reason="no engine plays a part")


@pytest.mark.parametrize("brief", [[], ["1", "--brief"]], ids=["whole", "brief"])
def test_a_claim_without_a_name_says_both_ways_on(there: Shell, brief: list[str]) -> None:
    """The printed command passes the feature, and the other way is a name; a named agent reads neither."""
    for name in ("One", "Two"):
        there.json("add", name, *NEW)
    printed = there.dibs("claim", *brief).stdout
    assert "export DIBS_AGENT=NAME" in printed
    command = printed.split("To finish it: `dibs ")[1].split("`")[0]
    assert "passing" in there.dibs(*command.split()).stdout
    named = there.dibs("claim", DIBS_AGENT="ada").stdout
    assert "To finish it" not in named
    assert "passing" in there.dibs("pass", 2, DIBS_AGENT="ada").stdout


def test_a_hint_is_a_sentence_of_its_own(there: Shell) -> None:
    """An acknowledgement with a hint ends with one full stop."""
    there.json("add", "One", *NEW)
    there.json("claim", DIBS_AGENT="ada")
    said = there.dibs("ask", 1, "Which colour?", DIBS_AGENT="ada").stdout
    assert said.startswith("Feature 1 is needs_human. The answer comes with the next claim of this feature. ")
    assert said.endswith(".\n")
    assert not said.endswith("..\n")


def test_a_pass_and_a_failure_of_a_passing_feature_say_what_they_record(there: Shell) -> None:
    """The status alone does not tell a test from a pass, nor a regression from a failed attempt."""
    there.json("add", "One", *NEW)
    there.json("claim", DIBS_AGENT="ada")
    assert there.dibs("pass", 1, DIBS_AGENT="ada").stdout == "Feature 1 is passing.\n"
    assert there.dibs("pass", 1).stdout == "Feature 1 is passing. It was passing before: recorded as another test.\n"
    with_evidence = there.dibs("pass", 1, "--evidence", "seen").stdout
    assert with_evidence.startswith("Feature 1 is passing; evidence stored. It was passing before")
    assert there.dibs("fail", 1, "broke").stdout == (
        "Feature 1 is pending. It was passing before: recorded as a regression.\n"
    )


def test_a_call_without_the_claims_token_says_how_to_send_it(there: Shell) -> None:
    """The same command comes with the option that it lacked."""
    there.json("add", "One", *NEW)
    there.json("claim")
    assert "Run it again with `--token …` if the claim is yours" in there.dibs("pass", 1).stderr


def test_messages_do_not_name_a_project_that_nobody_named(there: Shell, tmp_path: Path) -> None:
    """A file's only project is the backlog; one with a name is called by it."""
    there.json("add", "One", *NEW)
    assert there.dibs("get", 9).stderr.startswith("dibs: There is no feature 9 in the backlog. ")
    made = there.dibs("backup", tmp_path / "backup.db").stdout
    assert made.startswith("1 feature and 1 event of the backlog are in ")
    assert (
        "This is a backup of the backlog at" in there.dibs("add", "Two", *NEW, DIBS_DB=f"{tmp_path}/backup.db").stderr
    )
    there.json("add", "One", *NEW, DIBS_PROJECT="web")
    assert "There is no feature 9 in the project 'web'. " in there.dibs("get", 9, DIBS_PROJECT="web").stderr


@pytest.mark.parametrize("command", [["list"], ["ready"], ["blocked"], ["search", "x"], ["list", "--status", "stuck"]])
def test_an_empty_list_is_not_a_table(there: Shell, command: list[str]) -> None:
    """Where nothing is listed, one sentence says so."""
    there.json("add", "One", *NEW)
    there.json("claim")
    said = there.dibs(*command).stdout
    assert said == "No features.\n" if command != ["list"] else "1 of 1" in said


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["claim", "--wait", -1], "wait: must be at least 0"),
        (["settings", "back_off", "x"], "back_off must be a whole number. Nothing was changed."),
        (["settings", "colour", "1"], "There is no setting colour. The settings are order, "),
        (["settings", "colour"], "There is no setting colour. The settings are order, "),
        (["update", 1], "nothing to change: a text, the priority, paths, archive, restore or retry."),
        (["answer", "--question", 5, "--cancel"], "There is no question 5. `dibs answer` lists the open questions."),
        (["follow", "--after", "x"], "0-0 is the beginning"),
        (["restore", "readme.txt", "--to", "new.db"], "readme.txt is not a backup, or it is damaged"),
        (["import", "-"], "standard input: "),
        (["ask-user", "Which?", "--header", "C"], "questions[0].options: needs at least 2 entries"),
        (["ask", 1, "Which?", "--fields", "[{}]"], "fields[0].id: is required"),
    ],
    ids=lambda one: " ".join(map(str, one)) if isinstance(one, list) else "",
)
def test_a_refusal_names_what_is_wrong_in_words_of_the_shell(there: Shell, command: list[object], says: str) -> None:
    """The message has the name of what was given, what would be right, and nothing else."""
    there.json("add", "One", *NEW)
    (there.folder / "readme.txt").write_text("no backup " * 500)
    done = there.dibs(*command, typed="{}")
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("dibs: ")
    assert says in done.stderr


@pytest.mark.parametrize(("file", "title"), [("shop/.dibs/features.db", "shop"), ("shop/list.db", "list")])
def test_the_status_of_a_file_is_headed_by_its_name(tmp_path: Path, file: str, title: str) -> None:
    """A file's only project is called after its folder or its file; another project has its own name."""
    (tmp_path / file).parent.mkdir(parents=True)
    shell = Shell(tmp_path, {"DIBS_DB": str(tmp_path / file)})
    shell.json("add", "One", *NEW)
    assert shell.dibs("status").stdout.startswith(f"{title} 0 % passing")
    assert shell.json("status")["project"] == title
    assert shell.json("status", DIBS_DB=file.removeprefix("shop/"), cwd=tmp_path / "shop")["project"] == title
    shell.json("add", "One", *NEW, DIBS_PROJECT="mine")
    assert shell.dibs("status", DIBS_PROJECT="mine").stdout.startswith("mine 0 % passing")


def test_an_answer_says_what_it_has_done(there: Shell) -> None:
    """An answer differs from a withdrawal, and an existing claim from a new one."""
    there.json("add", "One", *NEW)
    assert "claimed already" not in there.dibs("claim", DIBS_AGENT="ada").stdout
    again = there.dibs("claim", DIBS_AGENT="ada").stdout
    assert "claimed already" in again
    assert "`dibs heartbeat 1`" in again
    there.json("ask", 1, "Which colour?", DIBS_AGENT="ada")
    answered = there.dibs("answer", 1, "--set", "answer=blue").stdout
    assert answered == "The answer is recorded. Feature 1 is pending.\n"
    there.json("ask-user", "Which?", "--header", "Colour", "--option", "a", "--option", "b")
    there.json("update", 1, "--archive")
    assert "No features.\nquestion 1: Which?" in there.dibs("blocked").stdout
    there.json("update", 1, "--restore")
    status = there.dibs("status").stdout
    assert "0 % passing, 1 feature\n" in status
    assert "dibs answer --question 1" in status
    withdrawn = there.dibs("answer", "--question", 1, "--cancel").stdout
    assert withdrawn.startswith("The question is withdrawn. Question 1 is ")


@pytest.mark.only_on("sqlite", reason="a server's projects have names of their own")
def test_the_name_that_a_file_is_shown_under_makes_no_second_project(tmp_path: Path) -> None:
    """The folder's name stands for the project without a name, unless a project really has it."""
    shell = Shell(tmp_path, {})
    add = ("add", "one", "--category", "c", "--description", "d", "--step", "s")
    assert shell.dibs(*add).returncode == 0
    assert shell.json("status")["project"] == tmp_path.name
    refused = shell.dibs(*add, DIBS_PROJECT=tmp_path.name)
    assert refused.returncode == 2
    assert "Leave DIBS_PROJECT and --project out" in refused.stderr
    for name, total in (("default", 1), ("other", 1)):
        assert shell.dibs(*add, DIBS_PROJECT=name).returncode == 0
        assert shell.json("status", DIBS_PROJECT=name)["total"] == total
