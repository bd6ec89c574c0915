"""The random workload calls every tool, and its seed fixes it."""

from __future__ import annotations

from random import Random

from dibs_proof.random_workload import CONTENTION, EVERY_TOOL, Call, Calls, Memory, draw
from dibs_schema.operations import BY_TOOL

CLAIMED = {"state": "claimed", "claim": {"token": "t"}, "feature": {"id": 1}}


def drawn(seed: int, count: int, calls: Calls = EVERY_TOOL) -> list[Call]:
    """Return the calls of an agent that holds a feature, has lost one, and has asked a question."""
    memory = Memory(Random(seed), 10, "ada", named=True)
    found = []
    for _ in range(count):
        memory.learn(CLAIMED | {"feature": {"id": 2}})
        memory.end_claim(2)
        memory.learn(CLAIMED)
        memory.learn({"question_id": 1, "state": "open"})
        found.append(draw(memory, calls))
    return found


def test_every_tool_is_drawn() -> None:
    """A storm calls every tool of the catalogue, and every form of those that have several."""
    calls = drawn(1, 5_000)
    assert {tool for tool, _ in calls} == set(BY_TOOL)
    forms = {(tool, name) for tool, arguments in calls for name in arguments}
    assert {
        ("ask_user", "questions"),
        ("ask_user", "question_id"),
        ("feature_get_summary", "feature_id"),
        ("feature_get_summary", "feature_ids"),
        ("feature_claim_and_get", "resume"),
        ("feature_claim_and_get", "request_id"),
        ("feature_answer_human_input", "question_id"),
    } <= forms


def test_the_seed_fixes_every_argument() -> None:
    """Two agents of one seed make the same calls."""
    for calls in (EVERY_TOOL, CONTENTION):
        assert drawn(7, 500, calls) == drawn(7, 500, calls)
        assert drawn(7, 500, calls) != drawn(8, 500, calls)


def test_a_call_that_was_not_answered_is_repeated_as_it_was() -> None:
    """A call that may have taken effect is repeated once with its request_id, if its agent may repeat it."""
    memory = Memory(Random(1), 10, "ada", named=True)
    lost: Call = ("feature_claim_and_get", {"request_id": "mine"})
    memory.miss_answer(lost)
    memory.named = False
    assert lost not in [draw(memory) for _ in range(50)]
    memory.named = True
    assert [draw(memory) for _ in range(50)].count(lost) == 1


def test_no_two_calls_have_the_same_text() -> None:
    """A reason, a note or a name shows which call it came from."""
    texts = [
        str(arguments[name])
        for _, arguments in drawn(1, 3_000)
        for name in ("reason", "note", "prompt", "evidence", "request_id", "name")
        if name in arguments
    ]
    assert len(texts) > 500
    assert len(set(texts)) == len(texts)
