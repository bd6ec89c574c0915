"""A server serves the project that its client's only MCP root is in, else that of its working folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import types
from mcp.client import Client
from mcp.client.context import ClientRequestContext
from mcp.client.stdio import StdioServerParameters

from dibs.mcp.client_roots import folder_of
from dibs.mcp.codex import CLIENT, FOLDER
from dibs.root_folder import BACKLOG
from dibs_proof.raw_client import OPENING, Message, RawClient
from races.servers import ServerClient

SERVE = [sys.executable, "-m", "dibs", "serve"]

pytestmark = pytest.mark.only_on("sqlite", reason="a database server has no folder")


class Place:
    """A home folder, in which a client starts its servers, with two projects below it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.one, self.other = home / "one", home / "other two, ä"
        for project in (self.one, self.other):
            project.mkdir(parents=True)
            subprocess.run(["git", "init", "-q"], cwd=project, check=True)

    def connect(self, roots: Sequence[str] | None, working: Path, *more: str, **environ: str) -> Client:
        """Return a client of the SDK with these roots. Without `roots` the client has no such capability."""

        async def answer(context: ClientRequestContext) -> types.ListRootsResult:
            return types.ListRootsResult.model_validate({"roots": [{"uri": one} for one in roots or ()]})

        environment = {name: one for name, one in os.environ.items() if not name.startswith("DIBS_")}
        parameters = StdioServerParameters(
            command=SERVE[0],
            args=[*SERVE[1:], *more],
            env={**environment, "HOME": str(self.home), **environ},
            cwd=working,
        )
        return Client(parameters, mode="legacy", list_roots_callback=None if roots is None else answer)

    def serve(self, roots: Sequence[str] | None, working: Path, *more: str, **environ: str) -> tuple[str, str]:
        """Return the database that a server serves to a client with these roots, and its instructions.

        The database is the refusal's message if there is none.
        """

        async def run() -> tuple[str, str]:
            async with self.connect(roots, working, *more, **environ) as client:
                stats = [await client.call_tool("feature_get_stats", {}) for _ in range(2)]
                return served(stats[0].structured_content), client.instructions or ""

        return anyio.run(run)


def served(answer: dict[str, Any] | None) -> str:
    """Return the database that an answer names, or the message of the refusal."""
    assert answer is not None
    return str(answer["error"]["message"] if "error" in answer else answer["database"])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Two projects below a home folder."""
    return Place(tmp_path / "home")


def test_the_only_root_comes_before_the_working_folder(place: Place) -> None:
    """From the home folder, and from another project; the instructions do not name the wrong one."""
    for working in (place.home, place.one):
        database, instructions = place.serve([place.other.as_uri()], working)
        assert database == str(place.other / BACKLOG)
        assert "Database: the one of your client's root folder" in instructions
    assert not (place.one / BACKLOG).exists(), "nothing was made in the working folder"
    assert not (place.home / BACKLOG).exists()


def test_the_holder_is_shown_in_the_folder_of_the_root(place: Place) -> None:
    """People see in which project an agent without a name works."""

    async def run() -> None:
        async with place.connect([place.other.as_uri()], place.home) as client:
            await client.call_tool("feature_create", {"category": "c", "name": "n", "description": "d", "steps": ["s"]})
            await client.call_tool("feature_mark_in_progress", {"feature_id": 1})
            feature = (await client.call_tool("feature_get_by_id", {"feature_id": 1})).structured_content
            assert feature is not None
            assert feature["claimed_by"].endswith(" in other-two-ä")

    anyio.run(run)


def test_a_root_around_the_working_folder_changes_nothing(place: Place) -> None:
    """Neither does one inside the same repository, which leads to the same backlog."""
    inner = place.one / "src" / "deep"
    inner.mkdir(parents=True)
    around = [place.one.as_uri()], [place.home.as_uri()], [(place.one / "src").as_uri()], [inner.parent.parent.as_uri()]
    for roots in around:
        assert place.serve(roots, inner)[0] == str(place.one / BACKLOG)


@pytest.mark.parametrize(
    "roots",
    [[], ["{one}", "{other}"], ["https://example.org/x"], ["file:///nowhere/at/all"], ["{home}"], ["file:///"]],
)
def test_other_roots_are_not_used(place: Place, roots: list[str]) -> None:
    """No root, several, one that is no folder here or the folder of many projects: the working folder decides."""
    uris = [one.format(one=place.one.as_uri(), other=place.other.as_uri(), home=place.home.as_uri()) for one in roots]
    assert place.serve(uris, place.one)[0] == str(place.one / BACKLOG)
    assert "is the folder of many projects" in place.serve(uris, place.home)[0]


def test_what_is_named_comes_before_roots(place: Place) -> None:
    """`--db`, DIBS_DB and CLAUDE_PROJECT_DIR decide, and the client is not asked."""
    db = place.home / "x.db"
    roots = [place.other.as_uri()]
    assert place.serve(roots, place.home, "--db", str(db))[0] == str(db)
    assert place.serve(roots, place.home, DIBS_DB=str(db))[0] == str(db)
    assert place.serve(roots, place.home, CLAUDE_PROJECT_DIR=str(place.one))[0] == str(place.one / BACKLOG)


def opening(capabilities: dict[str, Any]) -> list[Message]:
    """The messages that open a connection of a client with these capabilities."""
    return [{**OPENING[0], "params": {**OPENING[0]["params"], "capabilities": capabilities}}, *OPENING[1:]]


@pytest.mark.parametrize("name", ["one", "home"])
def test_a_client_that_never_answers_counts_as_one_without_roots(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """After two seconds the working folder decides; from a home folder the call is refused, and the next asks again."""
    working = place.home if name == "home" else place.one
    monkeypatch.chdir(working)
    with ServerClient(SERVE, {"HOME": str(place.home)}, opening({"roots": {"listChanged": True}})) as server:
        for request in (900, 901):  # ids that the server's own requests do not have
            call = {"name": "feature_get_stats", "arguments": {}}
            server.write({"jsonrpc": "2.0", "id": request, "method": "tools/call", "params": call})
            answer = served(server.message(request)["result"]["structuredContent"])
            if name == "one":
                assert answer == str(place.one / BACKLOG)
            else:
                assert "is the folder of many projects" in answer
        server.hang_up()
        assert server.status(60) == (0 if name == "one" else 2)
        assert "the client did not say its roots within 2 s" in server.log()


def test_codex_names_the_folder_with_each_call(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts a plugin's server in the plugin's folder; the folder and the session come with the calls to a server that
    announces it. A call without them is refused."""
    plugin = place.one / "plugin"
    plugin.mkdir()
    monkeypatch.chdir(plugin)
    initialize = deepcopy(OPENING[0])
    initialize["params"]["clientInfo"]["name"] = CLIENT
    environment = {"HOME": str(place.home), "PLUGIN_ROOT": str(plugin)}
    with RawClient(SERVE, environment, [initialize, *OPENING[1:]]) as server:
        assert FOLDER in server.message(0)["result"]["capabilities"]["experimental"]
        answers = []
        for request, folder in ((900, None), (901, place.one), (902, place.other)):
            meta = {"sessionId": f"0000000{request}"} | (
                {FOLDER: {"sandboxCwd": folder.as_uri()}} if folder is not None else {}
            )
            call = {"name": "feature_get_stats", "arguments": {}, "_meta": meta}
            server.write({"jsonrpc": "2.0", "id": request, "method": "tools/call", "params": call})
            answers.append(served(server.message(request)["result"]["structuredContent"]))
        assert "is the folder of many projects" in answers[0]
        assert answers[1:] == [str(place.one / BACKLOG)] * 2, "the first folder stays, since claims may be open"
        assert server.finish() == 0


def test_a_client_without_roots_is_not_asked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is served at once; from a home folder the handshake fails with the reason."""
    monkeypatch.chdir(place.one)
    with ServerClient(SERVE, {"HOME": str(place.home)}) as server:
        assert server.call("feature_get_stats")["database"] == str(place.one / BACKLOG)
        assert str(place.one / BACKLOG) in server.message(0)["result"]["instructions"]
        assert server.finish() == 0
    monkeypatch.chdir(place.home)
    with ServerClient(SERVE, {"HOME": str(place.home)}) as server:
        assert "is the folder of many projects" in server.message(0)["error"]["message"]
        assert server.status(60) == 2


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file://{folder}", "{folder}"),
        ("file://localhost{folder}", "{folder}"),
        ("file://{folder}/with%20space%2C%20%C3%A4", "{folder}/with space, ä"),
        ("file://{folder}/with space, ä/", "{folder}/with space, ä"),
        ("file://{folder}/latin%E4", "{folder}/latin\udce4"),
        ("file://{folder}/link", "{folder}"),
        ("file://{folder}/file", None),
        ("file://{folder}/missing", None),
        ("file://{folder}/%00", None),
        ("file://elsewhere{folder}", None),
        ("file://[{folder}", None),
        ("file:///C:/Windows", None),
        ("file:///c%3A/Users", None),
        ("file:relative", None),
        ("https://localhost{folder}", None),
        ("{folder}", None),
    ],
)
def test_a_file_uri_names_a_folder(tmp_path: Path, uri: str, path: str | None) -> None:
    """With percent-encoded, plain and foreign characters; a URI of another machine, or of no folder, gives None."""
    for name in (b"with space, \xc3\xa4", b"latin\xe4"):
        os.mkdir(os.fsencode(tmp_path) + b"/" + name)  # noqa: PTH102 - a path of bytes
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    expected = None if path is None else Path(path.format(folder=tmp_path))
    assert folder_of(uri.format(folder=tmp_path)) == expected
