"""People read how long ago something was, and what a feature waits for; JSON has the times themselves."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from cli.shells import Shell
from dibs.cli import GROUPS, commands
from dibs.database import Database
from dibs.relative_time import ago, span
from dibs.verbs import outcome
from dibs_schema.status import Status
from verbs.stage import add, age, alter, ask_question, depend, named, place, take

MINUTE, HOUR, DAY = 60, 3_600, 86_400
NO_ENGINE = pytest.mark.only_on("sqlite", reason="no engine plays a part")


@NO_ENGINE
@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0 s"),
        (0.9, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (HOUR - 1, "59 min"),
        (HOUR, "1 h"),
        (3 * HOUR + 5 * MINUTE + 59, "3 h 5 min"),
        (DAY + 59 * MINUTE, "1 day"),
        (2 * DAY + 4 * HOUR, "2 days 4 h"),
        (400 * DAY, "400 days"),
    ],
)
def test_a_length_of_time_has_its_two_largest_units(seconds: float, shown: str) -> None:
    """Units that are zero are left out, and nothing is rounded up."""
    assert span(seconds) == shown


@NO_ENGINE
def test_a_time_is_in_the_past_or_in_the_future() -> None:
    """Both are relative to the same moment."""
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert ago(now - timedelta(minutes=12), now) == "12 min ago"
    assert ago(now + timedelta(seconds=25), now) == "in 25 s"


def test_a_list_shows_what_each_feature_waits_for(there: Shell, database: Database) -> None:
    """As the list of blocked features does: dependencies by their ids, a question, a back-off, a person."""
    base, dependent, asked, failed = add(database, 4)
    depend(database, dependent, base)
    ask_question(database, asked)
    token = take(database, named("ada"), failed).claim.token
    database.write_now(lambda tx: outcome.mark_failing(tx, "ada", failed, "no", token))
    alter(database, failed, not_before=datetime.now(UTC).timestamp() + 500)
    person = place(database, Status.NEEDS_HUMAN).id
    commands_of: dict[str, list[object]] = {
        "list": ["list"],
        "search": ["search"],
        "summary": ["summary", base, dependent, asked, failed, person],
        "blocked": ["blocked"],
    }
    shown = {
        command: {
            line.split()[0]: " ".join(line.split()[4:])
            for line in there.dibs(*words).stdout.splitlines()[1:]
            if line.startswith(" ")  # a row; the number of rows stands below
        }
        for command, words in commands_of.items()
    }
    for command in ("list", "search", "summary"):
        rows = shown[command]
        assert rows[str(base)] == "feature", command
        assert rows[str(dependent)] == f"feature {base}", command
        assert rows[str(asked)] == "feature question 1: Which port?", command
        assert re.fullmatch(r"feature in 8 min \(.*\) in back-off", rows[str(failed)]), command
        assert rows[str(person)] == "feature Please decide.", command
        for waiting in (dependent, asked, person):
            assert rows[str(waiting)] == shown["blocked"][str(waiting)]
    rows_by_id = {one["id"]: one for one in there.json("list")["features"]}
    assert rows_by_id[dependent]["blocked_by"] == [base]
    assert rows_by_id[failed]["ready_at"].endswith("Z")


def _worked_on(database: Database) -> int:
    """Return a feature that was claimed two hours ago and failed an hour later, with a back-off that still lasts."""
    (feature,) = add(database)
    token = take(database, named("ada"), feature).claim.token
    age(database, HOUR)
    database.write_now(lambda tx: outcome.mark_failing(tx, "ada", feature, "no", token))
    age(database, HOUR)
    return feature


@pytest.mark.parametrize("command", ["show", "history"])
def test_times_are_relative_and_local(
    there: Shell, database: Database, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its time of day, in the local zone or in UTC."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    import time

    time.tzset()
    try:
        feature = _worked_on(database)
        local, utc = there.dibs(command, feature).stdout, there.dibs(command, feature, "--utc").stdout
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    attempt = re.search(r"attempt of ada, 2 h ago \((\S+ \S+)\): failed after 1 h", local)
    in_utc = re.search(r"attempt of ada, 2 h ago \((\S+Z)\): failed after 1 h", utc)
    assert attempt
    assert in_utc
    moment = datetime.fromisoformat(in_utc[1])
    assert attempt[1] == f"{moment + timedelta(hours=5, minutes=30):%Y-%m-%d %H:%M:%S}"
    assert re.search(r"^ +1 h ago \(.*\) ada fail in_progress -> pending", local, re.MULTILINE)
    if command == "show":
        assert re.search(r"^created_at 2 h ago \(", local, re.MULTILINE)


@NO_ENGINE
def test_help_lists_each_command_once_in_its_group(there: Shell) -> None:
    """What a newcomer needs comes first."""
    printed = there.dibs("--help").stdout
    headings = re.findall(r"^(\S.*):$", printed, re.MULTILINE)
    assert headings == ["Options", *GROUPS]
    listed = re.findall(r"^  ([a-z][a-z-]*)  ", printed.split("Start here:")[1], re.MULTILINE)
    assert sorted(listed) == sorted(commands.list_commands(None))  # type: ignore[arg-type]  # it ignores the context
