"""Generated resource URIs, prompts and completions are answered, or refused by a protocol code."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from dibs.database import Database
from fuzzing.arguments import ODD
from fuzzing.peer import Peer, peer_on
from fuzzing.test_lines import PROMPT
from fuzzing.verdict import BUDGET, PROTOCOL, assert_no_foreign_word
from fuzzing.watching import writes
from races.backlog import SEED, times
from verbs.stage import add

REQUESTS = times(400, 10_000)
BATCH = 20

_part = st.one_of(
    st.sampled_from(
        ["1", "7", "40", "41", "0", "-1", "01", "1e3", "0x1", "9" * 19, "9" * 500, "", "stats", "overview"]
    ),
    st.sampled_from(["ready", "graph", "events", "READY", "ready/", "{id}", "1/../2", "%31", "1#a"]),
    st.sampled_from(ODD),
    st.text(max_size=6),
)
_query = st.one_of(
    st.just(""),
    st.builds(
        lambda name, value: f"?{name}={value}",
        st.sampled_from(["cursor", "after", "Cursor", "id", "", "cursor=1&cursor"]),
        st.one_of(st.sampled_from(["0-0", "0-3", "-1:0", "0:1", "9:9", "0.0.1.1", "0.0.-5.3", "%00"]), _part),
    ),
    st.text(max_size=6).map(lambda text: f"?{text}"),
)
uris = st.builds(
    lambda scheme, part, query: scheme + part + query,
    st.sampled_from(["feature://", "features://", "features://", "FEATURE://", "feature:", "file://"]),
    _part,
    _query,
)
_typed = st.one_of(_part, st.sampled_from(["a", "%", "_", "\\", "core", "x" * 3_000]))
_prompt = st.sampled_from(["plan_backlog", "work_next", "verify_passing", "triage_stuck", "nothing", ""])
_argument = st.sampled_from(["id", "feature_id", "category", "limit", "specification", "after", "x", ""])


def _completion(ref: dict[str, Any], name: str, typed: str) -> tuple[str, dict[str, Any]]:
    return "completion/complete", {"ref": ref, "argument": {"name": name, "value": typed}}


requests: SearchStrategy[tuple[str, dict[str, Any]]] = st.one_of(
    st.tuples(
        st.sampled_from(
            [
                "resources/read",
                "resources/read",
                "resources/read",
                "resources/subscribe",
                "resources/unsubscribe",
            ]
        ),
        st.fixed_dictionaries({"uri": uris}),
    ),
    st.tuples(
        st.just("prompts/get"),
        st.fixed_dictionaries(
            {"name": _prompt, "arguments": st.dictionaries(_argument, _typed, max_size=2)},
        ),
    ),
    st.builds(
        _completion,
        st.one_of(
            _prompt.map(lambda name: {"type": "ref/prompt", "name": name}),
            st.one_of(st.sampled_from(["feature://{id}", "features://events{?after}"]), uris).map(
                lambda uri: {"type": "ref/resource", "uri": uri}
            ),
        ),
        _argument,
        _typed,
    ),
)


def judge(method: str, message: dict[str, Any]) -> str:
    """Check an answer: it must be a result within its bounds, or the error for invalid params."""
    if "error" in message:
        assert message["error"]["code"] in PROTOCOL, message
        return f"{method}: {PROTOCOL[message['error']['code']]}"
    result = message["result"]
    for content in result.get("contents", []):
        assert len(content["text"]) <= BUDGET
    assert len(result.get("completion", {}).get("values", [])) <= 100
    return method


@pytest.mark.timeout(600)
def test_every_address_is_answered_or_refused_by_a_code_of_the_protocol(
    database: Database, db: str, engine: str
) -> None:
    """No URI, prompt or completion is an internal error or writes (400 requests; 10,000 with DIBS_TEST_LONG=1)."""
    add(database, 40)
    tally: Counter[str] = Counter()
    with writes(db) as written, peer_on(db) as peer:
        before = written()

        @seed(SEED)
        @settings(
            max_examples=REQUESTS // BATCH,
            phases=[Phase.generate],
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(requests, min_size=BATCH, max_size=BATCH))
        def each_is_answered(batch: list[tuple[str, dict[str, Any]]]) -> None:
            for method, (request, params) in [(one[0], (_ask(peer, one), one[1])) for one in batch]:
                message = peer.message(request, PROMPT)
                assert_no_foreign_word(_without(message, params), database.label)
                tally[judge(method, message)] += 1

        each_is_answered()
        assert written() == before
    print(f"\n{engine}: {dict(tally)}")
    assert tally.total() >= REQUESTS
    assert {"resources/read", "resources/subscribe", "prompts/get", "completion/complete"} <= tally.keys()


def _ask(peer: Peer, request: tuple[str, dict[str, Any]]) -> int:
    method, params = request
    return peer.ask(method, **params)


def _without(message: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without the address that it repeats."""
    if "error" in message and "uri" in params:
        return {**message, "error": {**message["error"], "data": None}}
    return message
