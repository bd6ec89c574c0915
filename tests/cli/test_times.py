"""Times have one form in everything that commands print as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from cli.shells import Shell

NEW = ("--category", "core", "--description", "What it does.", "--step", "Look.")
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def times_in(value: Any) -> Iterator[tuple[str, object]]:
    """Yield the members of JSON values that are times, by their names."""
    for name, one in value.items() if isinstance(value, dict) else ():
        if name == "at" or name.endswith(("_at", "_until", "since")):
            yield name, one
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from times_in(one)


def test_every_time_in_json_is_iso_8601(there: Shell) -> None:
    """Answers, refusals, events and their details name each time in UTC, to the second."""
    for name in ("One", "Two", "Three"):
        there.json("add", name, *NEW)
    ada = Shell(there.folder, {**there.settings, "DIBS_AGENT": "ada"})
    said = [ada.json("claim", 1), ada.json("fail", 1, "broken"), ada.json("claim", 2)]
    said += [
        there.json("get", 2),
        there.json("claim", 2, status=1, DIBS_AGENT="bob"),
        ada.json("heartbeat", 2),
    ]
    said += [ada.json("pass", 2), there.json("regression"), ada.json("claim", 3)]
    said += [ada.json("ask", 3, "Which?"), there.json("answer"), there.json("list"), there.json("blocked")]
    said += [there.json(command, feature) for command in ("show", "history") for feature in (1, 2, 3)]
    there.json("answer", 3, "--cancel")
    there.json("update", 1, "--archive")
    there.json("update", 3, "--archive")
    followed = there.dibs("follow", "--after", "0-0", "--until-complete", "--json")
    said += [json.loads(line) for line in followed.stdout.splitlines()]
    found = list(times_in(said))
    names = {name for name, _ in found}
    assert names >= {"at", "expires_at", "ready_at", "claimed_at", "passed_at", "testing_until", "asked_at", "since"}
    assert [(name, one) for name, one in found if not ISO.fullmatch(str(one))] == []
