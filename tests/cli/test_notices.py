"""`dibs follow --on … --run …`: a command hears of each event at least once, also if the follower is killed."""

from __future__ import annotations

import json
import random
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cli.shells import Shell
from dibs.database import Database
from dibs.verbs import ask_person, lease
from dibs.verbs.outcome import mark_failing
from dibs_schema.inputs import HumanField
from dibs_schema.status import Status
from races.backlog import eventually, times
from verbs.stage import Placed, add, ask_question, expire, finish, place, rule

HOSTILE = "it's $(touch forged) `touch forged` ; touch forged\n-> stuck"


def writing_to(file: Path, first: str = "pass") -> str:
    """Return a command that runs `first`, and appends its notice and its environment to the file as a line of JSON."""
    script = (
        "import json, os, sys\n"
        f"{first}\n"
        "environment = {name: text for name, text in os.environ.items() if name.startswith('DIBS_EVENT_')}\n"
        f"with open({str(file)!r}, 'a') as heard:\n"
        "    heard.write(json.dumps(json.load(sys.stdin) | {'environment': environment}) + '\\n')"
    )
    return shlex.join([sys.executable, "-c", script])


def heard(file: Path) -> list[dict[str, Any]]:
    """Return what the command was given."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def places(there: Shell) -> list[Path]:
    """Return the files in which followers keep their places."""
    home = there.folder if "://" in there.db else Path(there.db).parent
    return list((home / ".dibs" / "notices").glob("*.json"))


def asks(database: Database, one: Placed, prompt: str) -> None:
    """Let the holder of a feature ask a person."""
    request = ask_person.new_request(prompt, [HumanField(id="answer", label="Answer")])
    database.write_now(lambda tx: ask_person.request_human_input(tx, "ada", one.id, one.token, request))


def test_a_command_hears_of_questions_stuck_features_lost_claims_and_the_end(
    database: Database, there: Shell, tmp_path: Path
) -> None:
    """Each event is given once, with the text that a person needs; the shell never interprets texts of agents."""
    file = tmp_path / "heard"
    rule(database, max_failures=1)
    asking, failing, dying = (place(database, Status.IN_PROGRESS, name=f"Feature {n}") for n in range(3))
    follower = there.start("follow", "--run", writing_to(file), "--after", "0-0", "--json")
    asks(database, asking, HOSTILE)
    number = ask_question(database)
    database.write_now(lambda tx: mark_failing(tx, "ada", failing.id, HOSTILE, failing.token))
    rule(database, max_failures=5)
    expire(database, dying.id)
    database.write_now(lease.reap)
    finish(database, dying.id)
    database.write_now(lambda tx: ask_person.cancel_request(tx, "ann", asking.id))
    eventually(lambda: len(heard(file)) >= 4, 30)
    follower.terminate()
    printed, errors = follower.communicate(timeout=30)
    given = heard(file)
    assert [(one["on"], one.get("feature")) for one in given] == [
        ("ask", asking.id),
        ("ask", None),
        ("stuck", failing.id),
        ("lost", dying.id),
    ]
    assert [one["text"] for one in given[:3]] == [HOSTILE, "Which port?", HOSTILE]
    assert given[1]["detail"] == {"question": number}
    assert given[3]["text"].startswith("the lease expired")
    assert [one["name"] for one in given] == ["Feature 0", None, "Feature 1", "Feature 2"]
    assert given[2]["environment"] == {
        **{
            f"DIBS_EVENT_{name.upper()}": str(given[2][name]) for name in ("on", "name", "text", "id", "cursor", "kind")
        },
        **{f"DIBS_EVENT_{name.upper()}": str(given[2][name]) for name in ("feature", "agent", "at", "to_status")},
        "DIBS_EVENT_FROM_STATUS": "in_progress",
        "DIBS_EVENT_REPEATED": "0",
    }
    assert [json.loads(line)["on"] for line in printed.splitlines()] == ["ask", "ask", "stuck", "lost"]
    assert errors == ""
    assert not (there.folder / "forged").exists()


def test_the_end_is_reported_once_until_there_is_work_again(database: Database, there: Shell, tmp_path: Path) -> None:
    """`complete` comes when the last feature passes, not again at a later start, and again after new work."""
    file = tmp_path / "heard"
    run = ("follow", "--on", "complete", "--run", writing_to(file), "--until-complete")
    one, other = add(database, 2)
    follower = there.start(*run)
    eventually(lambda: places(there), 30)
    finish(database, one)
    finish(database, other)
    follower.communicate(timeout=30)
    assert follower.returncode == 0
    assert [notice["on"] for notice in heard(file)] == ["complete"]
    assert there.dibs(*run).returncode == 0
    assert len(heard(file)) == 1
    finish(database, *add(database))
    assert there.dibs(*run).returncode == 0
    assert [notice["on"] for notice in heard(file)] == ["complete", "complete"]


@pytest.mark.timeout(600)
def test_a_follower_that_is_killed_at_any_moment_tells_everything(
    database: Database, there: Shell, tmp_path: Path
) -> None:
    """Killed and restarted 20 times, it gives each event at least once, and marks those that it may have given before."""
    file, chance = tmp_path / "heard", random.Random(5)
    command = writing_to(file, "import time; time.sleep(0.05)")
    run = ("follow", "--on", "ask,lost", "--run", command)
    expected = list[int]()
    for _ in range(times(8, 20)):
        follower = there.start(*run)
        eventually(lambda: places(there), 30)  # the first one begins after the newest event
        for _ in range(3):
            one = place(database, Status.IN_PROGRESS)
            asks(database, one, "Which?")
            expected.append(one.id)
        time.sleep(chance.uniform(0.5, 2.5))
        follower.kill()
        follower.communicate()
    follower = there.start(*run)
    eventually(lambda: {one["feature"] for one in heard(file)} == set(expected), 60)
    follower.kill()
    follower.communicate()
    seen = set[str]()
    for notice in heard(file):
        assert (notice["cursor"] in seen) <= notice["repeated"], "given twice, and not marked"
        seen.add(notice["cursor"])
    first = [notice["feature"] for notice in heard(file) if not notice["repeated"]]
    assert first == sorted(first), "in another order than they happened"


def test_a_command_that_fails_is_reported_and_tried_again(database: Database, there: Shell, tmp_path: Path) -> None:
    """The event is given again after a pause, marked as repeated, and later events wait for it."""
    file, flag = tmp_path / "heard", tmp_path / "failed"
    fails_once = f"if not os.path.exists({str(flag)!r}): open({str(flag)!r}, 'w').close(); sys.exit(3)"
    follower = there.start("follow", "--on", "ask", "--run", writing_to(file, fails_once), "--after", "0-0")
    for prompt in ("first", "second"):
        asks(database, place(database, Status.IN_PROGRESS), prompt)
    eventually(lambda: len(heard(file)) == 2, 30)
    follower.terminate()
    _, errors = follower.communicate(timeout=30)
    assert [(notice["text"], notice["repeated"]) for notice in heard(file)] == [("first", True), ("second", False)]
    assert "the command ended with status 3 for event" in errors
    assert "The next try is in 1 s" in errors


def test_what_cannot_be_followed_is_refused(database: Database, there: Shell, tmp_path: Path) -> None:
    """An unknown topic, a second follower with the same command, and a place that is not ours."""
    add(database)
    done = there.dibs("follow", "--on", "asks")
    assert done.returncode == 2
    assert "ask, stuck, complete, lost" in done.stderr
    follower = there.start("follow", "--on", "ask", "--run", "true")
    eventually(lambda: places(there), 30)
    done = there.dibs("follow", "--on", "ask", "--run", "true")
    assert done.returncode == 2
    assert "another `dibs follow` runs this command" in done.stderr
    follower.kill()
    follower.communicate()
    (kept,) = places(there)
    kept.write_text("[]")
    done = there.dibs("follow", "--on", "ask", "--run", "true")
    assert done.returncode == 2
    assert "Delete it" in done.stderr
    kept.unlink()
    kept.symlink_to(tmp_path / "elsewhere.json")
    assert there.dibs("follow", "--on", "ask", "--run", "true").returncode == 2
    assert not (tmp_path / "elsewhere.json").exists()
