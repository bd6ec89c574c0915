"""The limits of clients and the channel that they show, tested with a different answer on each channel."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from e2e import probe
from e2e.clients import Client
from e2e.conftest import NewPlace
from e2e.model import Model
from e2e.probe import LONG, measure
from e2e.running import play
from e2e.script import Call, Script, Shown


@dataclass(frozen=True)
class Limits:
    """The behaviour of a client of this version."""

    answer: str
    error: str
    description: int
    instructions: int


LIMITS = {
    "claude": Limits(answer="structured", error="text", description=16_380, instructions=4_090),
    "codex": Limits(answer="structured", error="structured", description=LONG, instructions=240),
    "opencode": Limits(answer="text", error="text", description=LONG, instructions=LONG),
}

SIZES = (10_000, 30_000, 120_000)


@pytest.fixture(scope="module")
def tried(client: Client, new_place: NewPlace) -> tuple[Limits, Model, dict[str, Shown]]:
    """The result of one conversation with the probing server."""
    shown: dict[str, Shown] = {}

    def script() -> Script:
        shown["answer"] = yield Call("feature_probe")
        shown["error"] = yield Call("feature_probe", {"fails": True})
        for size in SIZES:
            shown[str(size)] = yield Call("feature_probe", {"size": size})

    model = play(client, new_place([sys.executable, probe.__file__]), script())
    return LIMITS[client.name], model, shown


Tried = tuple[Limits, Model, dict[str, Shown]]


def test_the_channel_of_an_answer_is_known(tried: Tried) -> None:
    """Each client shows only one channel, which may differ for errors."""
    limits, _, shown = tried
    assert shown["answer"].data()["channel"] == limits.answer
    assert shown["error"].data()["channel"] == limits.error


def test_the_cut_of_descriptions_and_instructions_is_known(tried: Tried) -> None:
    """Each client shows the listed length of a tool's description and of the instructions."""
    limits, model, _ = tried
    assert measure(model.tools["feature_probe"].description) == limits.description
    assert measure(model.turns[0].words) == limits.instructions


def test_answers_of_up_to_thirty_thousand_characters_are_not_cut(tried: Tried) -> None:
    """Dibs' longest answer, of 10,000 characters, is far below every client's limit; far above it, each client cuts."""
    _, _, shown = tried
    for size in (10_000, 30_000):
        assert shown[str(size)].data()["ruler"] == probe.ruler(size)
    assert len(shown["120000"].text) < 60_000
