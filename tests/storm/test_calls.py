"""What a storm asks for is every tool, and is fixed by its seed."""

from __future__ import annotations

from random import Random

from dibs_proof.storm.calls import Call, Mind, draw
from dibs_schema.operations import BY_TOOL

CLAIMED = {"state": "claimed", "claim": {"token": "t"}, "feature": {"id": 1}}


def drawn(seed: int, count: int) -> list[Call]:
    """The calls of an agent who holds a feature, has lost one, and has asked a question."""
    mind = Mind(Random(seed), 10, "ada", named=True)
    calls = []
    for _ in range(count):
        mind.learn(CLAIMED | {"feature": {"id": 2}})
        mind.let_go(2)
        mind.learn(CLAIMED)
        mind.learn({"question_id": 1, "state": "open"})
        calls.append(draw(mind))
    return calls


def test_every_tool_is_drawn() -> None:
    """The tools that a storm calls are those of the table, and so are the forms of the ones that have several."""
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
    """Two agents of one seed ask for the same, word for word."""
    assert drawn(7, 500) == drawn(7, 500)
    assert drawn(7, 500) != drawn(8, 500)


def test_a_call_that_was_not_answered_is_made_again_word_for_word() -> None:
    """What may have been done is asked for once more with its request_id, by whoever may."""
    mind = Mind(Random(1), 10, "ada", named=True)
    lost: Call = ("feature_claim_and_get", {"request_id": "mine"})
    mind.miss(lost)
    mind.named = False
    assert lost not in [draw(mind) for _ in range(50)]
    mind.named = True
    assert [draw(mind) for _ in range(50)].count(lost) == 1


def test_no_two_calls_say_the_same_words() -> None:
    """A reason, a note or a name tells the call by which it came to be."""
    said = [
        str(arguments[name])
        for _, arguments in drawn(1, 3_000)
        for name in ("reason", "note", "prompt", "evidence", "request_id", "name")
        if name in arguments
    ]
    assert len(said) > 500
    assert len(set(said)) == len(said)
