"""An agent that repeats or resumes a claim receives what is new, and the rest only if it may not have it."""

from __future__ import annotations

from typing import Any

import pytest

from dibs.client import Backlog, Client, server_command
from dibs.database import Database
from dibs.session.repeated_claims import REMEMBERED_FOR, RepeatedClaims
from dibs.verbs.outcome import mark_failing, mark_passing
from dibs.verbs.update import add_note
from dibs_schema.answers import Claimed, Dependency, Lease, NoteEntry, Work
from verbs.stage import add, depend, rule, token_of

pytestmark = pytest.mark.anyio

CLAIM, MARK, READ = "feature_claim_and_get", "feature_mark_in_progress", "feature_get_by_id"
TEXTS = {"description", "steps", "paths"}


async def held(server: Client, backlog: Database, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the answer to the claim of a new feature, and the arguments that repeat it."""
    (feature,) = add(backlog, **more)
    again = {"feature_id": feature, "agent": f"ada-{feature}"}
    return await server.call(CLAIM, **again), again


@pytest.mark.parametrize("resume", [False, True], ids=["repeated", "resumed"])
@pytest.mark.parametrize("by_id", [False, True], ids=["the next", "by id"])
async def test_a_repeated_claim_leaves_out_what_the_agent_has(
    server: Client, backlog: Database, by_id: bool, resume: bool
) -> None:
    """The answer has the token and the lease, and names the call that reads the rest."""
    made, again = await held(server, backlog, paths=["src/a.py"])
    feature = again["feature_id"]
    asked = again if by_id else {"agent": again["agent"]}
    answer = await server.call(CLAIM, **asked, resume=resume)
    assert (answer["state"], answer["brief"]) == ("claimed", True)
    assert answer["claim"].keys() == made["claim"].keys()
    assert answer["feature"] == {name: made["feature"][name] for name in ("id", "name", "category")}
    assert f"Call {READ} with feature_id={feature} to read it again" in answer["hint"]
    whole = await server.call(READ, feature_id=feature)
    assert {name: whole[name] for name in TEXTS} == {name: made["feature"][name] for name in TEXTS}
    passed = await server.call("feature_mark_passing", feature_id=feature, claim_token=answer["claim"]["token"])
    assert passed["status"] == "passing"


async def test_what_the_project_tells_is_repeated_if_it_changes(server: Client, backlog: Database) -> None:
    """A repeated claim has the instructions and the definition of done only after they have changed."""
    rule(backlog, instructions="Read docs/style.md.", done_when={"core": "It is built."})
    try:
        made, again = await held(server, backlog)
        assert (made["feature"]["instructions"], made["feature"]["done_when"]) == (
            "Read docs/style.md.",
            "It is built.",
        )
        assert not {"instructions", "done_when"} & (await server.call(CLAIM, **again))["feature"].keys()
        rule(backlog, instructions="Read docs/other.md.")
        news = (await server.call(CLAIM, **again))["feature"]
        assert (news["instructions"], "done_when" in news) == ("Read docs/other.md.", False)
        rule(backlog, done_when={})
        assert "brief" not in await server.call(
            CLAIM, **again
        )  # what was taken away can be seen in a whole answer alone
    finally:
        rule(backlog, instructions="", done_when={})
    await server.call("feature_clear_in_progress", feature_id=again["feature_id"])


async def test_news_are_in_the_answer_once(server: Client, backlog: Database) -> None:
    """New notes, dependencies and answers to questions come with the next repeated claim, and not again."""
    (needed,) = add(backlog)
    _, again = await held(server, backlog)
    feature = again["feature_id"]
    await server.call("feature_add_note", feature_id=feature, text="an old note")
    assert [one["text"] for one in (await server.call(CLAIM, **again))["feature"]["notes"]] == ["an old note"]
    backlog.write_now(lambda tx: add_note(tx, "grace", feature, "a new note"))
    depend(backlog, feature, needed)
    news = (await server.call(CLAIM, **again))["feature"]
    assert [one["text"] for one in news["notes"]] == ["a new note"]
    assert [one["id"] for one in news["dependencies"]] == [needed]
    assert not TEXTS & news.keys()
    token = token_of(backlog, needed)
    backlog.write_now(lambda tx: mark_passing(tx, "grace", needed, token))
    assert [one["status"] for one in (await server.call(CLAIM, **again))["feature"]["dependencies"]] == ["passing"]
    backlog.write_now(lambda tx: mark_failing(tx, "tom", needed, "it broke"))
    assert [one["status"] for one in (await server.call(CLAIM, **again))["feature"]["dependencies"]] == ["pending"]
    assert (await server.call(CLAIM, **again))["feature"].keys() == {"id", "name", "category"}


@pytest.mark.parametrize(
    "change",
    [{"description": "x" * 6_000 + "!"}, {"steps": ["look", "again"]}, {"name": "another name"}, {"paths": ["b.py"]}],
    ids=lambda one: next(iter(one)),
)
async def test_a_changed_text_is_sent_whole(server: Client, backlog: Database, change: dict[str, Any]) -> None:
    """If a planner has changed the feature, also behind what an answer has room for, the answer is whole."""
    made, again = await held(server, backlog, description="x" * 6_000)
    assert made["feature"]["next_cursor"]
    assert (await server.call(CLAIM, **again))["brief"] is True
    await server.call("feature_update", feature_id=again["feature_id"], **change)
    answer = await server.call(CLAIM, **again)
    assert "brief" not in answer
    assert answer["feature"]["description"][:100] == "x" * 100
    assert (await server.call(CLAIM, **again))["brief"] is True


async def test_what_was_taken_away_is_not_passed_over(server: Client, backlog: Database) -> None:
    """An answer without the dependency that was removed would say that it is still there."""
    one, two = add(backlog, 2)
    _, again = await held(server, backlog)
    depend(backlog, again["feature_id"], one, two)
    await server.call(CLAIM, **again)
    for gone in (one, two):
        await server.call("feature_remove_dependency", feature_id=again["feature_id"], dependency_id=gone)
        answer = await server.call(CLAIM, **again)
        assert "brief" not in answer
        assert gone not in [each["id"] for each in answer["feature"].get("dependencies", [])]


async def test_a_resume_on_another_connection_is_whole(server: Client, backlog: Database, shared_db: str) -> None:
    """An agent on a new connection starts without memory."""
    made, again = await held(server, backlog)
    async with Client.start(server_command("--db", shared_db)) as other:
        answer = await other.call(CLAIM, **again, resume=True, force=True)
        assert answer["feature"] == made["feature"]
        assert (await other.call(CLAIM, **again))["brief"] is True


async def test_the_first_details_are_whole(server: Client, backlog: Database) -> None:
    """After a claim that was answered briefly, `feature_claim_and_get` brings the texts."""
    (feature,) = add(backlog)
    for agent in ({}, {"agent": f"ada-{feature}"}):
        await server.call(MARK, feature_id=feature, **agent)
        answer = await server.call(CLAIM, feature_id=feature, **agent)
        assert (answer["already_claimed"], "brief" in answer) == (True, False)
        assert answer["feature"]["description"]
        await server.call("feature_clear_in_progress", feature_id=feature)


async def test_a_new_attempt_is_whole(server: Client, backlog: Database) -> None:
    """A claim after an outcome is no repeated one."""
    made, again = await held(server, backlog)
    await server.call("feature_clear_in_progress", feature_id=again["feature_id"])
    answer = await server.call(CLAIM, **again)
    assert answer["feature"]["description"] == made["feature"]["description"]


async def test_a_retried_call_is_whole(server: Client, backlog: Database) -> None:
    """A request_id is for answers that were lost, so each of them is whole."""
    made, again = await held(server, backlog)
    for key in (f"one-{again['feature_id']}", f"one-{again['feature_id']}", f"two-{again['feature_id']}"):
        answer = await server.call(CLAIM, **again, request_id=key)
        assert answer["feature"] == made["feature"]


@pytest.mark.parametrize("in_process", [True, False], ids=["in process", "own process"])
async def test_a_program_receives_the_whole_feature(shared_db: str, backlog: Database, in_process: bool) -> None:
    """A block of the Python client has all texts, however often its object resumes the claim."""
    (feature,) = add(backlog, description="what to build")
    connect = Backlog.open if in_process else Backlog.start
    async with connect(db=shared_db) as mine:
        for _ in range(2):
            answer = await mine.take(feature, agent=f"ada-{feature}", resume=True)
            assert isinstance(answer, Claimed)
            assert (answer.brief, answer.feature.description) == (False, "what to build")


def _claimed(**more: Any) -> Claimed:
    work = Work(id=1, name="one", category="core", description="what to build", **more)
    return Claimed(state="claimed", claim=Lease(token="t", expires_at=0, renewed=True), feature=work)


def test_after_some_minutes_the_answer_is_whole() -> None:
    """The time counts from the last whole answer, and each holder has its own."""
    times = [0, 0, REMEMBERED_FOR / 2, REMEMBERED_FOR, REMEMBERED_FOR + 1, REMEMBERED_FOR + 2]
    holders = ["ada", "grace", "ada", "ada", "ada", "ada"]
    answers = RepeatedClaims(iter(times).__next__)
    brief = [answers.answer(holder, _claimed(), repeated=True).brief for holder in holders]
    assert brief == [False, False, True, True, False, True]


def test_new_notes_without_room_are_counted() -> None:
    """`more_notes` of a brief answer counts the new notes that it does not have."""

    def notes(*texts: str) -> list[NoteEntry]:
        return [NoteEntry(text=text, agent="grace", age_seconds=len(texts)) for text in texts]

    answers = RepeatedClaims()
    answers.answer("ada", _claimed(notes=notes("a", "b"), more_notes=3), repeated=False)
    said = answers.answer("ada", _claimed(notes=notes("b", "c"), more_notes=5), repeated=True).feature
    assert ([one.text for one in said.notes], said.more_notes) == (["c"], 1)


def test_a_value_that_has_gone_makes_the_answer_whole() -> None:
    """A question that was open is no longer: an answer that leaves it out would say that it is."""
    answers = RepeatedClaims()
    answers.answer("ada", _claimed(question_id=7), repeated=False)
    assert not answers.answer("ada", _claimed(), repeated=True).brief
    assert answers.answer("ada", _claimed(question_id=8), repeated=True).feature.question_id == 8


def test_a_dependency_that_has_not_changed_is_left_out() -> None:
    """Of many dependencies the answer has those whose state is another."""
    answers = RepeatedClaims()
    one, two = (Dependency(id=number, name="x", status="pending") for number in (1, 2))
    answers.answer("ada", _claimed(dependencies=[one, two]), repeated=False)
    passed = two.model_copy(update={"status": "passing"})
    said = answers.answer("ada", _claimed(dependencies=[one, passed]), repeated=True).feature
    assert said.dependencies == [passed]
