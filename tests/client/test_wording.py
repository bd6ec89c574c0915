"""Messages for Python programs name methods, and never tools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager

import pytest

from client.listening import served
from dibs.client import Backlog, NothingToClaim
from dibs.session.python_wording import PYTHON
from dibs_schema.next_step import Step
from dibs_schema.refusals import AlreadyHolding, Forbidden, NotFound

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.only_on("sqlite", reason="messages are worded by the client, whatever the engine"),
]


@pytest.fixture(params=["open", "start", "connect"])
async def backlog(
    request: pytest.FixtureRequest, new_db: Callable[[], AbstractContextManager[str]]
) -> AsyncIterator[Backlog]:
    """A backlog with two features, for each way to connect."""
    with new_db() as db, served(db) as url:
        way = Backlog.connect(url) if request.param == "connect" else getattr(Backlog, request.param)(db=db)
        async with way as opened:
            for name in ("one", "two"):
                await opened.create("core", name, "what it does", ["look"])
            yield opened


async def test_refusals_and_answers_name_methods(backlog: Backlog) -> None:
    """The next step of a refusal, of a hint and of an answer without work is a method."""
    with pytest.raises(NotFound, match=r"Call search\b"):
        await backlog.get(99)
    await backlog.take(1, agent="ada")
    with pytest.raises(AlreadyHolding, match="Call take") as holding:
        await backlog.take(2, agent="ada")
    with pytest.raises(NothingToClaim, match="Call take") as nothing:
        async with backlog.claim(category="core", agent="bob"), backlog.claim(category="core", agent="cyd"):
            pytest.fail("there is nothing left")
    for error in (holding, nothing):
        assert "feature_" not in str(error.value).replace("feature_id", "")


@pytest.mark.parametrize("way", [Backlog.open, Backlog.start], ids=["open", "start"])
async def test_a_role_lists_methods(way: Callable[..., AbstractAsyncContextManager[Backlog]], db: str) -> None:
    """A refused role lists the methods that it has."""
    async with way(db=db, role="viewer") as viewer:
        with pytest.raises(Forbidden, match=r"^create.* is not for the role viewer, which has .*search") as refused:
            await viewer.create("core", "three", "what it does", ["look"])
    assert "feature_" not in str(refused.value)


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Step("feature_claim_and_get", {"resume": True}), "take(resume=True)"),
        (
            Step("feature_mark_passing", {"feature_id": 5}, needs=("evidence",)),
            "mark_passing(feature_id=5, evidence=…)",
        ),
        (Step(None, {"wait_seconds": 45}), "it again with wait_seconds=45"),
        (Step(None), "it again"),
    ],
)
async def test_a_step_is_written_as_a_call(step: Step, text: str) -> None:
    """A method with its arguments, or the same call again."""
    assert PYTHON.call(step) == text
