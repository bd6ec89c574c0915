"""A call with empty optional arguments and an injected one is answered like the same call without them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from dibs.database import Database, open_database
from dibs.settings import Settings
from dibs_schema.operations import BY_TOOL
from fuzzing.arguments import Call, calls
from fuzzing.peer import TRANSPORTS, Ask, asking
from fuzzing.test_calls import FLAGS, set_the_stage
from races.backlog import LONG, SEED, assert_sound, times

CALLS = times(80, 4_000)
BATCH = 20
EMPTY: list[Any] = ["", " \n", None, [], {}]
INJECTED = ["task_progress", "random_string", "_meta", "explanation", "toolSummary", "wait_for_previous"]
"""Arguments that clients add to every call, which resemble those of no tool."""
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)|\b\d+(\.\d+)? (s|seconds|minutes|hours)\b|\b\d+ s\b")
LEFT = re.compile(r'("lease_seconds":) \d+')
NAMELESS = re.compile(r"\b[a-z-]+-[0-9a-f]{4}\b")
"""How others see a holder without a name: its program, and the beginning of its connection's id."""


class Twin:
    """One of two servers on backlogs of the same content. It knows the tokens of its claims."""

    def __init__(self, ask: Ask, database: Database) -> None:
        self._ask = ask
        self._label = database.label
        self._tokens: dict[int, str] = {}

    def call(self, tool: str, arguments: dict[str, Any], *, with_token: bool) -> Any:
        """Return the answer, in which whatever differs between the twins has the same form."""
        feature = arguments.get("feature_id")
        if (
            with_token
            and type(feature) is int
            and feature in self._tokens
            and "claim_token" in BY_TOOL[tool].parameters
        ):
            arguments = arguments | {"claim_token": self._tokens[feature]}
        content = self._ask(tool, arguments)["result"]["structuredContent"]
        self._note_token(content)
        text = json.dumps(content, sort_keys=True).replace(json.dumps(self._label)[1:-1], "DATABASE")
        for token in self._tokens.values():
            text = text.replace(f'"{token}"', '"TOKEN"')
        text = LEFT.sub(r"\1 0", text)
        return json.loads(MOMENT.sub("WHEN", NAMELESS.sub("NAMELESS", text)))

    def _note_token(self, content: dict[str, Any]) -> None:
        if "claim" in content and "feature" in content:
            self._tokens[content["feature"]["id"]] = content["claim"]["token"]
        elif "token" in content:
            self._tokens[content["id"]] = content["token"]


@contextmanager
def twin(transport: str, new_db: Callable[[], AbstractContextManager[str]]) -> Iterator[Twin]:
    """Run a server on a staged backlog of its own, which must be sound at the end."""
    with new_db() as db:
        database = open_database(Settings(db=db))
        set_the_stage(database)
        with asking(transport, db, *FLAGS) as ask:
            yield Twin(ask, database)
        assert_sound(database)
        database.close(patience=5)


@st.composite
def padded(draw: st.DrawFn) -> tuple[Call, dict[str, Any], list[str]]:
    """Draw a call, the same call with each optional argument filled in, and the unknown ones that it has in addition."""
    tool, arguments = draw(calls())
    missing = BY_TOOL[tool].optional - arguments.keys()
    kept = BY_TOOL[tool].may_be_empty
    fillers = {
        name: draw(st.sampled_from([one for one in EMPTY if one != [] or name not in kept])) for name in sorted(missing)
    }
    injected = draw(st.lists(st.sampled_from(INJECTED), max_size=2, unique=True))
    added = [name for name in injected if name not in arguments]
    return (tool, arguments), arguments | fillers | dict.fromkeys(added, "x"), added


@pytest.mark.timeout(3_600 if LONG else 300)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_empty_and_injected_arguments_change_no_answer(
    new_db: Callable[[], AbstractContextManager[str]], transport: str
) -> None:
    """Two servers get the same calls, one of them padded, and give the same answers (80 calls; 4,000 in the long run)."""
    faults = list[str]()  # only the first counts: the backlogs differ from there on
    with ExitStack() as stack:
        plain, filled = (stack.enter_context(twin(transport, new_db)) for _ in range(2))

        @seed(SEED)
        @settings(
            max_examples=CALLS // BATCH,
            phases=[Phase.generate],
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(st.tuples(padded(), st.booleans()), min_size=BATCH, max_size=BATCH))
        def answers_are_equal(batch: list[tuple[tuple[Call, dict[str, Any], list[str]], bool]]) -> None:
            for ((tool, arguments), more, injected), with_token in [] if faults else batch:
                expected = plain.call(tool, arguments, with_token=with_token)
                answer = filled.call(tool, more, with_token=with_token)
                ignored = set(answer.pop("ignored", [])) - set(expected.pop("ignored", []))
                if answer != expected or ignored != set(() if "error" in answer else injected):
                    faults.append(
                        f"{tool} {str(more)[:1_000]}\n{str(expected)[:1_000]}\n{str(answer)[:1_000]}\n{ignored}"
                    )
                    break

        answers_are_equal()
    assert not faults, f"DIBS_TEST_SEED={SEED}: {faults[0]}"
