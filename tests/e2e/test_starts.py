"""The tools that a client shows to its model while a server starts slowly."""

from __future__ import annotations

from e2e.backlog import Backlog
from e2e.clients import Claude, Client, Codex, late
from e2e.conftest import NewPlace
from e2e.model import Model, own_name
from e2e.running import play
from e2e.script import Call, Script

SECONDS = 3
"""The delay of the server's start in seconds, as on a busy machine."""


class HastyClaude(Claude):
    """Claude Code with its defaults: it does not wait for its servers."""

    waits = False


class HastyCodex(Codex):
    """Codex with its defaults: a server is not required."""

    required = False


def offers(model: Model) -> list[set[str]]:
    """Return the tools of Dibs that each request offered."""
    return [{own_name(one.name) for one in turn.tools} - {""} for turn in model.turns]


def stats() -> Script:
    """Make one request."""
    yield Call("feature_get_stats")


def test_a_late_server_is_waited_for(client: Client, backlog: Backlog, new_place: NewPlace) -> None:
    """With this configuration, each client's first request offers the tools, as with a server that starts at once."""
    model = play(client, new_place(late(SECONDS, backlog.server())), stats())
    assert "Dibs keeps the backlog" in model.turns[0].words
    assert model.shown[-1].data()["project"] == "features"


def test_claude_begins_without_a_late_server(backlog: Backlog, new_place: NewPlace) -> None:
    """Without MCP_CONNECTION_NONBLOCKING=0, Claude Code begins without the tools, and finds the hot ones by search alone."""
    model = play(HastyClaude(), new_place(late(SECONDS, backlog.server())), stats())
    first, last = offers(model)[0], offers(model)[-1]
    assert first == set()
    assert last == {"feature_get_stats"}
    assert "still connecting" in model.turns[0].words
    assert "Dibs keeps the backlog" not in model.turns[0].words
    assert "Dibs keeps the backlog" in model.turns[-1].words
    assert model.shown[-1].data()["project"] == "features"


def test_codex_begins_without_a_late_server_that_is_not_required(backlog: Backlog, new_place: NewPlace) -> None:
    """Without `required = true`, Codex begins as if there were no server, and searches find nothing until it is up."""
    model = play(HastyCodex(), new_place(late(SECONDS, backlog.server())), stats())
    assert "mcp__features" not in model.turns[0].words
    assert model.shown[0].raw == [], "the first search"
    assert "mcp__features" in model.turns[-1].words
    assert model.shown[-1].data()["project"] == "features"
