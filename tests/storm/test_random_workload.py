"""The random workload calls every tool, and its seed fixes it."""

from __future__ import annotations

from collections import Counter
from random import Random

from dibs_proof.random_workload import CONTENTION, EVERY_TOOL, TESTING, Call, Calls, Memory, draw
from dibs_schema.operations import BY_TOOL, offered
from dibs_schema.roles import Role

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


def test_batches_are_sent_again_with_their_key_and_without() -> None:
    """An agent sends a batch again as it was, or without the request_id, or sends one that others send too."""
    batches = [arguments for tool, arguments in drawn(1, 5_000) if tool == "feature_create_bulk"]
    sent = Counter((batch["features"][0]["name"], "request_id" in batch) for batch in batches)
    again = {is_keyed for (name, is_keyed), count in sent.items() if count > is_keyed and "One of many" in name}
    assert again == {True, False}
    assert {name for (name, _) in sent if "Of batch" in name} < {name for (name, _) in sent}


def test_a_tester_calls_no_tool_that_it_does_not_have() -> None:
    """A storm's tester uses only tools of its role, and claims what it has reported."""
    memory = Memory(Random(1), 10, "ada")
    memory.learn({"id": 7, "status": "pending"}, "feature_mark_failing")
    calls = [draw(memory, TESTING) for _ in range(1_000)]
    assert {tool for tool, _ in calls} <= {one.tool for one in offered(Role.TESTER)}
    claimed = Counter(call[1].get("feature_id") for call in calls if call[0] == "feature_claim_and_get")
    assert claimed.most_common(1)[0][0] == 7


def test_a_server_is_started_for_one_of_the_claims() -> None:
    """The memory then has that claim alone; the tokens of the others may come too late."""
    memory = Memory(Random(1), 10, "ada", claims={1: "a", 2: "b"})
    memory.adopt(2, "b")
    assert memory.claims == {2: "b"}
    assert set(memory.ended) == {(1, "a"), (2, "b")}


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
        for tool, arguments in drawn(1, 3_000)
        for name in ("reason", "note", "prompt", "evidence", "request_id", "name")
        if name in arguments and tool != "feature_create_bulk"  # which is sent again
    ]
    assert len(texts) > 500
    assert len(set(texts)) == len(texts)
