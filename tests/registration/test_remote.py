"""The entry of a server over HTTP in each client's file, which never holds the access token."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from dibs.registration.change import registration, removal, write
from dibs.registration.clients import CLIENTS, is_ours
from dibs.registration.command import Command
from dibs.registration.remote import Remote
from dibs_schema.refusals import InvalidInput

URL = "https://dibs.example.com/mcp"
REMOTE = Remote(URL, "TEAM_TOKEN")
ENTRIES = {
    "claude": {"type": "http", "url": URL, "headers": {"Authorization": "Bearer ${TEAM_TOKEN}"}},
    "codex": {"url": URL, "bearer_token_env_var": "TEAM_TOKEN", "required": True},
    "cursor": {"url": URL, "headers": {"Authorization": "Bearer ${env:TEAM_TOKEN}"}},
    "vscode": {"type": "http", "url": URL, "headers": {"Authorization": "Bearer ${env:TEAM_TOKEN}"}},
    "opencode": {"type": "remote", "url": URL, "oauth": False, "headers": {"Authorization": "Bearer {env:TEAM_TOKEN}"}},
    "gemini": {"httpUrl": URL, "headers": {"Authorization": "Bearer ${TEAM_TOKEN}"}},
}
"""The entries in the forms of the clients' own pages."""
BY_NAME = pytest.mark.parametrize("name", CLIENTS)


@BY_NAME
def test_each_client_finds_the_url_and_the_variable(name: str, tmp_path: Path) -> None:
    """The file has the entry in the client's form, a second run changes nothing, and the removal leaves no trace."""
    client = CLIENTS[name]
    write(registration(client, tmp_path, REMOTE, {}))
    text = client.file(tmp_path).read_text(encoding="utf-8")
    data = client.parse(text)
    found = data
    for key in client.place(data):
        found = found[key]
    assert found == ENTRIES[name]
    assert Remote.of(found) == REMOTE
    assert registration(client, tmp_path, REMOTE, {}).kind == "nothing"
    write(removal(client, tmp_path))
    assert URL not in client.file(tmp_path).read_text(encoding="utf-8")


@BY_NAME
def test_a_client_changes_from_one_transport_to_the_other(name: str, tmp_path: Path) -> None:
    """An entry over stdio is replaced by one over HTTP and back, and what is not about the transport stays."""
    client, command = CLIENTS[name], Command(("dibs-mcp",), "")
    write(registration(client, tmp_path, command, {"DIBS_AGENT": "ada"}))
    first = client.file(tmp_path).read_text(encoding="utf-8")
    write(registration(client, tmp_path, REMOTE, {}))
    assert "dibs-mcp" not in client.file(tmp_path).read_text(encoding="utf-8")
    write(registration(client, tmp_path, command, {"DIBS_AGENT": "ada"}))
    assert client.parse(client.file(tmp_path).read_text(encoding="utf-8")) == client.parse(first)


def test_the_server_of_another_program_is_left_alone() -> None:
    """An entry at another path, or with a token in the file, is not taken for one that Dibs wrote."""
    assert not is_ours({"url": "https://example.com/sse"})
    assert not is_ours({"url": URL, "headers": {"Authorization": "Bearer abc"}})
    assert not is_ours({"url": 5})
    assert is_ours(ENTRIES["claude"])


@pytest.mark.parametrize(
    ("url", "variable", "field"),
    [
        ("http://dibs.example.com/mcp", None, "--url"),
        ("https://user@dibs.example.com/mcp", None, "--url"),
        ("https://:secret@dibs.example.com/mcp", None, "--url"),
        ("https://dibs.example.com/mcp?token=x", None, "--url"),
        ("dibs.example.com", None, "--url"),
        (URL, "not a name", "--token-env"),
        (URL, "dibs_3456789-", "--token-env"),
    ],
)
def test_no_secret_and_no_plain_http_is_accepted(url: str, variable: str | None, field: str) -> None:
    """A URL without encryption or with a secret in it is refused, and so is a token where a variable's name belongs."""
    with pytest.raises(InvalidInput) as refused:
        Remote.at(url, variable, "DIBS_ACCESS_TOKEN")
    assert refused.value.details["field"] == field


def test_the_command_writes_and_says_what_is_missing(tmp_path: Path) -> None:
    """`dibs init --url` writes the entry, and says that the variable is not set; the settings of a server are refused."""
    command = [sys.executable, "-m", "dibs", "init", "claude", "--url", "https://dibs.example.com", "--yes"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "DIBS_ACCESS_TOKEN is not set here" in done.stderr) == (1, True)
    written = json.loads((tmp_path / ".mcp.json").read_text(encoding="utf-8"))
    assert written["mcpServers"]["features"]["url"] == URL
    refused = subprocess.run(
        [*command, "--role", "coder"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (refused.returncode, "--role" in refused.stderr) == (2, True)


def test_no_proxy_sees_the_token_of_this_machine(tmp_path: Path) -> None:
    """With a proxy in the environment, the token for a server on this machine is not sent to it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as proxy, closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/mcp"
        proxied = dict.fromkeys(("HTTP_PROXY", "http_proxy"), f"http://127.0.0.1:{proxy.getsockname()[1]}")
        done = subprocess.run(
            [sys.executable, "-m", "dibs", "init", "claude", "--url", url, "--token-env", "TEAM", "--yes"],
            cwd=tmp_path,
            env={**os.environ, **proxied, "TEAM": "sesame"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        proxy.settimeout(0)
        with pytest.raises(BlockingIOError):
            proxy.accept()
    assert done.returncode == 1, done.stdout
