"""What the end of a command means for its feature."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from dibs.client import SyncBacklog
from dibs.platform.processes import is_running
from dibs_schema.answers import Claimed
from work.conftest import Project

DIBS = f"{sys.executable} -m dibs"


def test_the_exit_status_is_the_outcome(project: Project) -> None:
    """Status 0 passes a feature with the output's end as evidence; others fail it, with the status and the output."""
    project.rule("max_failures", 1)
    project.add("good", 'cat > "$HERE/given"; echo "$DIBS_FEATURE_ID $DIBS_AGENT"; echo all is well')
    project.add("bad", "echo out; echo the test fails >&2; exit 3")
    project.add("killed", "kill -9 $$")
    done = project.work()
    assert done.returncode == 5, done  # stuck features wait for a person
    assert project.last("good") == ("pass", None)
    assert f"ada-1 1: {project.ids['good']} ada-1\nada-1 1: all is well\n" in done.stdout
    given = json.loads((project.folder / ".dibs" / "given").read_text())
    assert (given["id"], given["name"], given["steps"]) == (1, "good", ["s"])
    assert project.last("bad") == ("fail", "sh: ended with status 3: out\nthe test fails")
    assert project.last("killed")[1].startswith("sh: ended by signal 9")
    assert "dibs work: 1 passed, 2 failed in" in done.stdout
    with SyncBacklog.open(db=project.shell.db, project="default") as backlog:
        evidence = backlog.get(1).evidence
    assert evidence is not None
    assert evidence["summary"] == "1 ada-1\nall is well"
    assert evidence["commands"][0]["exit_code"] == 0
    assert evidence["usage"]["seconds"] >= 0


def test_an_outcome_of_the_command_itself_stands(project: Project) -> None:
    """A feature that its command has failed or released itself, by the variables it got, stays so after status 0."""
    project.rule("back_off", 600)
    project.add("fails", f'{DIBS} fail "$DIBS_FEATURE_ID" "no mailer"; exit 0')
    project.add("asks", f'{DIBS} ask "$DIBS_FEATURE_ID" "Which colour?"; exit 0')
    project.add("passes", f'{DIBS} pass "$DIBS_FEATURE_ID" --evidence "seen"; exit 9')
    project.rule("max_failures", 1)
    done = project.work("--agents", 3)
    assert done.returncode == 5, done
    assert project.last("fails") == ("fail", "no mailer")
    assert [project.kinds(name)[-1] for name in ("fails", "asks", "passes")] == ["fail", "ask", "pass"]
    assert "by the command itself" in done.stdout


def test_a_rate_limit_puts_the_feature_back_at_no_cost(project: Project) -> None:
    """Status 75 again and again: the loop pauses, the feature is never failed nor stuck, and passes at last."""
    project.rule("max_attempts", 2)
    project.add("limited", 'echo x >> "$HERE/tries"; [ "$(wc -l < "$HERE/tries")" -ge 5 ] || exit 75')
    done = project.work("--back-off", 0.05)
    assert done.returncode == 0, done
    assert project.kinds("limited") == ["create", *["claim", "release"] * 4, "claim", "pass"]
    assert "4 put back, 1 passed" in done.stdout


@pytest.mark.parametrize("program", ["no-such-program", "./text"])
def test_a_program_that_does_not_exist_is_said_before_any_claim(project: Project, program: str) -> None:
    """No feature is claimed for a command that cannot be started."""
    (project.folder / "text").write_text("no program")
    project.add("waits", "")
    done = project.work(command=[program])
    assert (done.returncode, done.stdout) == (127, "")
    assert "not found" in done.stderr
    assert project.kinds("waits") == ["create"]


def test_a_command_that_cannot_be_started_ends_the_loop(project: Project) -> None:
    """Statuses 126 and 127 put the feature back and end the loop, instead of failing one feature after the other."""
    project.add("one", "no-such-program")
    project.add("two", "no-such-program")
    done = project.work()
    assert done.returncode == 127
    assert "sh was not found (status 127)" in done.stderr
    assert (project.kinds("one"), project.kinds("two")) == (["create", "claim", "release"], ["create"])


def test_what_a_command_leaves_is_ended(project: Project) -> None:
    """Children of a command end with it, also those that hold its output open, and nothing waits for them."""
    project.add("forks", 'sleep 300 & echo $! > "$HERE/child"')
    began = time.monotonic()
    assert project.work().returncode == 0
    assert time.monotonic() - began < 100
    child = int((project.folder / ".dibs" / "child").read_text())
    deadline = time.monotonic() + 20
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(child)


def test_input_that_nobody_reads_and_much_output_do_no_harm(project: Project) -> None:
    """A command may ignore a long input, and print 20 MB in one line; its end is the evidence."""
    prompt = project.folder / "prompt.md"
    prompt.write_text("x" * 90_000)
    project.add("deaf", "exec <&-; echo heard nothing")
    project.add("loud", "head -c 20000000 /dev/zero | tr '\\0' x; echo; echo the end")
    done = project.work("--prompt", prompt, "--logs")
    assert done.returncode == 0, done
    assert len(done.stdout) < 2_000
    logs = sorted((project.folder / ".dibs" / "logs").iterdir())
    assert [one.stat().st_size for one in logs] == [14, 20_000_009]
    assert (project.last("deaf")[0], project.last("loud")[0]) == ("pass", "pass")


def test_a_command_that_takes_too_long_fails(project: Project) -> None:
    """--timeout ends the command, and the feature fails with that reason."""
    project.rule("max_failures", 1)
    project.add("slow", "echo begun; sleep 300")
    assert project.work("--timeout", 0.5).returncode == 5
    assert project.last("slow") == ("fail", "sh: it did not end within 0.5 s: begun")


def test_a_lost_claim_ends_the_command(project: Project) -> None:
    """When a planner frees the claim, the command is ended, and its status no longer counts."""
    planner = f"DIBS_ROLE=planner DIBS_CLAIM= DIBS_AGENT=boss {DIBS} release --force $DIBS_FEATURE_ID"
    project.add("taken", f'[ -e "$HERE/again" ] && exit 0; touch "$HERE/again"; {planner}; sleep 300')
    began = time.monotonic()
    done = project.work()
    assert done.returncode == 0, done
    assert time.monotonic() - began < 100
    assert project.kinds("taken") == ["create", "claim", "release", "claim", "pass"]
    assert "the claim was lost" in done.stdout


def test_the_prompt_comes_first_or_as_an_argument(project: Project) -> None:
    """`--init` writes the prompt once; it precedes the feature on standard input, unless an argument has {prompt}."""
    assert project.shell.dibs("work", "--init").returncode == 0
    file = project.folder / ".dibs" / "prompt.md"
    assert "DIBS_FEATURE_ID" in file.read_text()
    assert project.shell.dibs("work", "--init").returncode == 2
    file.write_text("Build it.\n")
    project.add("one", "")
    project.work(command=["sh", "-c", 'cat > "$HERE/first"'])
    project.add("two", "")
    project.work(command=["sh", "-c", 'cat > "$HERE/second"; echo "$1" >> "$HERE/second"', "sh", "Please: {prompt}"])
    first, second = ((project.folder / ".dibs" / name).read_text() for name in ("first", "second"))
    assert first.startswith('Build it.\n\n{"')
    assert second.startswith('{"')
    assert second.endswith("Please: Build it.\n\n")


def test_the_usage_of_every_attempt_counts(project: Project) -> None:
    """What the agents' output says of tokens and cost is summed over failed attempts and the pass."""
    project.rule("back_off", 0)
    line = json.dumps(
        {
            "type": "result",
            "result": "Built it.",
            "total_cost_usd": 0.25,
            "usage": {"input_tokens": 3, "cache_read_input_tokens": 100, "output_tokens": 7},
        }
    )
    project.add("costly", f"""echo '{line}'; [ -e "$HERE/again" ] && exit 0; touch "$HERE/again"; exit 1""")
    done = project.work()
    assert done.returncode == 0, done
    assert "1 failed, 1 passed" in done.stdout
    assert "0.50 USD" in done.stdout
    ended = [event for event in project.events("costly") if event["kind"] in ("fail", "pass")]
    assert len(ended) == 2
    for event in ended:
        usage = event["detail"]["usage"]
        assert (usage["input_tokens"], usage["output_tokens"], usage["cost_usd"]) == (103, 7, 0.25)


def test_a_database_that_is_locked_for_a_while_delays_the_outcome(project: Project, tmp_path: Path) -> None:
    """A feature whose pass meets a locked database passes when the lock is gone."""
    locked = tmp_path / "locked"
    hold = (
        "import sqlite3, sys, pathlib, time; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('BEGIN EXCLUSIVE'); pathlib.Path(sys.argv[2]).touch(); time.sleep(3)"
    )
    script = f"""{sys.executable} -c "{hold}" {project.shell.db} {locked} </dev/null >/dev/null 2>&1 &
    while [ ! -e {locked} ]; do sleep 0.02; done; setsid true"""
    # the child must outlive its group
    project.add("patient", script.replace(f"{sys.executable} -c", f"setsid {sys.executable} -c", 1))
    done = project.work(DIBS_PATIENCE="1")
    assert done.returncode == 0, done
    assert project.kinds("patient") == ["create", "claim", "pass"]


def test_two_loops_of_one_name_are_refused(project: Project) -> None:
    """A second loop with the same agents would take over their claims, so it says that there is one."""
    project.add("long", 'touch "$HERE/begun"; while [ ! -e "$HERE/go" ]; do sleep 0.05; done')
    state = project.folder / ".dibs"
    first = project.shell.start("work", "--", "sh", "-c", f'sh "{state}/scripts/long"', HERE=str(state))
    try:
        deadline = time.monotonic() + 60
        while not (state / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        second = project.work()
        assert second.returncode == 2
        assert "Another `dibs work` runs here as ada-1" in second.stderr
    finally:
        (state / "go").touch()
        output, errors = first.communicate(timeout=60)
    assert (first.returncode, errors) == (0, ""), output


def test_the_command_has_the_claim_alone(project: Project) -> None:
    """A loop within a loop, and a shell for one claim, claim nothing."""
    with SyncBacklog.open(db=project.shell.db, project="default") as backlog:
        project.add("one", "")
        claimed = backlog.take()
        assert isinstance(claimed, Claimed)
        done = project.work(DIBS_CLAIM=claimed.claim.token)
    assert done.returncode == 2
    assert "DIBS_CLAIM is set" in done.stderr
    assert "DIBS_FEATURE_ID" not in os.environ


def test_a_prompt_that_no_argument_can_have_is_refused(project: Project) -> None:
    """A NUL in the prompt is named before any claim."""
    (project.folder / "prompt.md").write_bytes(b"Build\0it")
    project.add("one", "")
    done = project.work("--prompt", project.folder / "prompt.md")
    assert (done.returncode, "NUL" in done.stderr) == (2, True)
    assert project.kinds("one") == ["create"]


def test_an_agents_name_is_no_path_of_its_log(project: Project) -> None:
    """An agent with a slash in its name has a log file as any other."""
    project.add("one", "echo all is well")
    assert project.work("--logs", "--agent", "team/ada").returncode == 0
    (log,) = (project.folder / ".dibs" / "logs").iterdir()
    assert log.read_text() == "all is well\n"


def test_a_log_that_cannot_be_written_ends_no_agent_silently(project: Project) -> None:
    """Where the log's folder cannot be made, the feature is put back, and the loop ends with the reason."""
    (project.folder / ".dibs" / "logs").write_text("no folder")
    project.add("one", "")
    done = project.work("--logs")
    assert done.returncode != 0
    assert project.kinds("one") == ["create", "claim", "release"]
