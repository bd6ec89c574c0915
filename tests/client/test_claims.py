"""A claim lasts as long as its block, and its outcome is that of the block."""

from __future__ import annotations

import asyncio

import pytest

from client.conftest import New
from dibs.client import Backlog, NothingToClaim
from dibs_schema.answers import Claimed
from dibs_schema.evidence import EvidenceFields
from dibs_schema.inputs import HumanField
from dibs_schema.refusals import AlreadyClaimed, ClaimLost, InvalidInput, NotClaimed, UnmetDependencies

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.only_on("sqlite", reason="blocks are made of calls, which others try on every engine"),
]


async def kinds(backlog: Backlog, feature: int) -> list[str]:
    """The kinds of a feature's events, oldest first."""
    return [event.kind for event in reversed((await backlog.history(feature)).events)]


async def test_a_block_that_ends_well_passes_with_its_evidence(backlog: Backlog, new: New) -> None:
    """The feature is claimed in the block and passing after it; a string as evidence is its summary."""
    feature = await new(name="Sign in")
    async with backlog.claim(feature) as held:
        assert (held.id, held.name, held.steps) == (feature, "Sign in", ["look"])
        assert (await backlog.get(feature)).status == "in_progress"
        held.evidence = "12 tests pass"
    done = await backlog.get(feature)
    assert (done.status, done.evidence) == ("passing", {"summary": "12 tests pass"})
    assert not backlog.holds(feature)


async def test_evidence_may_be_fields(backlog: Backlog, new: New) -> None:
    """Commands and a commit are stored unchanged."""
    feature = await new()
    given = {"commands": [{"command": "make test", "exit_code": 0}], "commit": "abc1234"}
    async with backlog.claim(feature) as held:
        held.evidence = EvidenceFields.model_validate(given)
    assert (await backlog.get(feature)).evidence == given


async def test_a_block_that_raises_fails_with_the_text_of_its_exception(backlog: Backlog, new: New) -> None:
    """The exception propagates, and the next holder reads its text."""
    feature = await new()
    with pytest.raises(ValueError, match="no such table"):
        async with backlog.claim(feature):
            raise ValueError("no such table: users")
    failed = await backlog.get(feature)
    assert (failed.status, failed.failures) == ("pending", 1)
    assert failed.last_failure == "ValueError: no such table: users"


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ValueError(), "ValueError"), (ValueError("x" * 3_000), "ValueError: " + "x" * 1_988)],
    ids=["nothing", "too much"],
)
async def test_an_exception_says_enough_and_not_too_much(
    backlog: Backlog, new: New, error: ValueError, reason: str
) -> None:
    """The reason is never empty, and no longer than a reason may be."""
    feature = await new()
    with pytest.raises(ValueError):  # noqa: PT011 - which one is checked below
        async with backlog.claim(feature):
            raise error
    attempt = (await backlog.history(feature)).parts[0].attempt
    assert attempt is not None
    assert (attempt.outcome, attempt.ended_at is None) == ("failed", False)
    assert attempt.reason is not None  # which the history cuts
    told = attempt.reason.rstrip("…")
    assert reason.startswith(told)
    assert len(told) > 90 or told == reason
    assert not hasattr(error, "__notes__"), "the reason was accepted"


async def test_a_group_says_what_is_in_it(backlog: Backlog, new: New) -> None:
    """The next holder reads the errors of the block's tasks, not the text of their group."""
    feature = await new()

    async def fail(error: Exception) -> None:
        raise error

    with pytest.raises(ExceptionGroup):
        async with backlog.claim(feature), asyncio.TaskGroup() as group:
            for error in (ValueError("no such table"), KeyError("users"), ValueError("no such table")):
                group.create_task(fail(error))
    assert (await backlog.get(feature)).last_failure == "ValueError: no such table; KeyError: 'users'"
    feature = await new()
    with pytest.raises(ExceptionGroup):
        async with backlog.claim(feature):
            inner = ExceptionGroup("inner", [ValueError("x" * 900), TypeError("y" * 900), OSError("z" * 900)])
            raise ExceptionGroup("outer", [inner])
    told = (await backlog.get(feature)).last_failure
    assert told is not None
    assert told.startswith("ValueError: xxx")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=["interrupt", "exit"])
async def test_an_interrupt_gives_the_claim_back(backlog: Backlog, new: New, error: BaseException) -> None:
    """A released feature counts no failure."""
    feature = await new()
    with pytest.raises(type(error)):
        async with backlog.claim(feature):
            raise error
    assert (await backlog.get(feature)).status == "pending"
    assert await kinds(backlog, feature) == ["create", "claim", "release"]


async def test_a_cancelled_block_gives_the_claim_back(backlog: Backlog, new: New) -> None:
    """The feature of a cancelled task is ready for others at once."""
    feature = await new()
    begun = asyncio.Event()

    async def work() -> None:
        async with backlog.claim(feature):
            begun.set()
            await asyncio.sleep(60)

    worker = asyncio.create_task(work())
    await begun.wait()
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker
    assert (await backlog.get(feature)).status == "pending"
    assert await kinds(backlog, feature) == ["create", "claim", "release"]


async def test_a_claim_that_was_cancelled_while_it_waited_leaves_nothing(backlog: Backlog) -> None:
    """A feature that becomes ready after a waiting claim was cancelled stays unclaimed."""
    waiting = asyncio.create_task(backlog.take(category="rare", wait_seconds=30))
    await asyncio.sleep(0.3)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    made = await backlog.create("rare", "a feature", "what it does", ["look"])
    await asyncio.sleep(0.4)
    assert (await backlog.get(made.ids[0])).status == "pending"


@pytest.mark.parametrize("how", ["pass", "fail", "skip", "release", "ask"])
async def test_a_block_that_ended_its_claim_is_not_ended_again(backlog: Backlog, new: New, how: str) -> None:
    """An outcome that the block itself reports is kept."""
    feature = await new()
    async with backlog.claim(feature):
        if how == "pass":
            await backlog.mark_passing(feature)
        elif how == "fail":
            await backlog.mark_failing(feature, "broken")
        elif how == "skip":
            await backlog.skip(feature, "later")
        elif how == "release":
            await backlog.release(feature)
        else:
            await backlog.ask_person(feature, "Which colour?", [HumanField(id="colour", label="Colour")])
    assert await kinds(backlog, feature) == ["create", "claim", how]


async def taken_over(other: Backlog, feature: int) -> None:
    """Let another client release the feature and claim it."""
    await other.release(feature, force=True)
    assert isinstance(await other.take(feature), Claimed)


async def test_a_claim_that_was_lost_meanwhile_is_told(backlog: Backlog, other: Backlog, new: New) -> None:
    """If another agent has taken over the feature, the end of the block raises claim_lost."""
    feature = await new()
    with pytest.raises(ClaimLost):
        async with backlog.claim(feature):
            await taken_over(other, feature)
    assert (await backlog.get(feature)).status == "in_progress"
    assert (await other.mark_passing(feature)).status == "passing"


async def test_an_exception_is_not_hidden_by_a_lost_claim(backlog: Backlog, other: Backlog, new: New) -> None:
    """The block's own error is raised, with a note that it was not recorded."""
    feature = await new()
    with pytest.raises(ValueError, match="mine") as raised:
        async with backlog.claim(feature):
            await taken_over(other, feature)
            raise ValueError("mine")
    (note,) = raised.value.__notes__
    assert f"Feature {feature} was not marked as failing" in note
    assert (await backlog.get(feature)).failures == 0


async def test_a_pass_that_is_refused_gives_the_claim_back(backlog: Backlog, new: New) -> None:
    """A block whose feature may not pass raises the refusal, and leaves no claim."""
    feature, below = await new(), await new()
    with pytest.raises(UnmetDependencies):
        async with backlog.claim(feature):
            await backlog.add_dependency(feature, below)
    assert (await backlog.get(feature)).status == "pending"
    other = await new()
    with pytest.raises(InvalidInput):
        async with backlog.claim(other) as held:
            held.evidence = "x" * 100_000
    assert (await backlog.get(other)).status == "pending"


async def test_nothing_to_claim_says_why(backlog: Backlog, new: New) -> None:
    """Without work the block is not entered; the exception has the answer and `is_final`."""
    below = await new(category="chain")
    feature = await new(category="chain", dependencies=[below])
    async with backlog.claim(below):
        with pytest.raises(NothingToClaim) as raised:
            async with backlog.claim(category="chain"):
                pytest.fail("there is nothing to do")
        assert (raised.value.state, raised.value.is_final) == ("waiting_for_claims", False)
        assert raised.value.idle.counts.in_progress == 1
    async with backlog.claim(feature):
        pass
    with pytest.raises(NothingToClaim) as raised:
        async with backlog.claim(category="chain"):
            pytest.fail("there is nothing to do")
    assert raised.value.is_final


async def test_a_loser_is_told_by_the_exception_of_the_tree(backlog: Backlog, new: New) -> None:
    """A refusal is raised as its class, with its details."""
    feature = await new()
    async with backlog.claim(feature):
        with pytest.raises(AlreadyClaimed) as raised:
            await backlog.take(feature)
        assert (raised.value.code, raised.value.details["id"]) == ("already_claimed", feature)


async def test_two_claims_of_one_object_do_not_mix(backlog: Backlog, new: New) -> None:
    """Each feature has its own token, whatever the order in which they end."""
    one, two = await new(), await new()
    async with backlog.claim(one), backlog.claim(two) as second:
        assert backlog.holds(one)
        await backlog.heartbeat(one)
        await backlog.mark_failing(two, "no", second.claim.token)
    assert (await backlog.get(one)).status == "passing"
    assert (await backlog.get(two)).failures == 1


async def test_a_token_that_was_lost_is_sent_until_the_feature_is_tested_anew(
    backlog: Backlog, other: Backlog, new: New
) -> None:
    """A late failure of a lost claim is no regression; a report on a feature taken for testing is one."""
    feature = await new()
    await backlog.take(feature)
    await taken_over(other, feature)
    await other.mark_passing(feature)
    with pytest.raises(ClaimLost):
        await backlog.mark_failing(feature, "late")
    while feature not in [one.id for one in (await backlog.take_for_regression(10)).features]:
        pass
    assert (await backlog.mark_failing(feature, "broke since")).status == "pending"
    with pytest.raises(NotClaimed):
        await backlog.mark_failing(feature, "again")
