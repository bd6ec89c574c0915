"""Each client's file gets one entry in the client's format, and stays otherwise unchanged."""

from __future__ import annotations

import json
import re
import stat
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from dibs.registration import toml
from dibs.registration.change import registration, removal, write
from dibs.registration.clients import CLIENTS, Client
from dibs.registration.command import Command, options_of, requirement, server_command
from dibs_schema.refusals import Busy, InvalidInput, ReadOnly

SHORT = Command(("dibs-mcp",), "because")
LONG = Command(("/opt/python", "-m", "dibs", "serve"), "because")
CODER = {"DIBS_ROLE": "coder"}

EMPTY = {
    "claude": ".mcp.json",
    "codex": ".codex/config.toml",
    "cursor": ".cursor/mcp.json",
    "vscode": ".vscode/mcp.json",
    "opencode": "opencode.json",
    "gemini": ".gemini/settings.json",
}
"""The documented file of a project's servers for each client."""

PLAIN: dict[str, Any] = {
    "claude": {
        "mcpServers": {
            "features": {
                "command": "dibs-mcp",
                "args": [],
                "env": {"DIBS_DB": "${DIBS_DB:-}", "DIBS_ROLE": "coder"},
            }
        }
    },
    "codex": {"mcp_servers": {"features": {"command": "dibs-mcp", "env": CODER, "required": True}}},
    "cursor": {"mcpServers": {"features": {"type": "stdio", "command": "dibs-mcp", "env": CODER}}},
    "vscode": {"servers": {"features": {"type": "stdio", "command": "dibs-mcp", "env": CODER}}},
    "opencode": {
        "$schema": "https://opencode.ai/config.json",
        "mcp": {"features": {"type": "local", "command": ["dibs-mcp"], "environment": CODER}},
    },
    "gemini": {"mcpServers": {"features": {"command": "dibs-mcp", "env": CODER}}},
}

OTHERS = {
    "claude": '{\n\t"mcpServers": {\n\t\t"docs": {"command": "npx"}\n\t},\n\t"x": [ 1,2 ]\n}',
    "codex": '# ours\nmodel = "m" # theirs\n\n[mcp_servers.docs]\ncommand = "npx"\n\n[tui]\nx = 1\n',
    "cursor": '{"mcpServers": {"docs": {"url": "https://docs.example/mcp"}}}\n',
    "vscode": '{\r\n    "inputs": [], /* none */\r\n    "servers": {\r\n        "docs": {}\r\n    },\r\n}\r\n',
    "opencode": '{\n  "theme": "dark", // theirs\n  "mcp": {\n    "docs": {"type": "local", "command": ["npx"]}\n  }\n}\n',
    "gemini": '{\n    // ours\n    "mcpServers": {\n        "docs": {"trust": true}\n    }\n}\n',
}

BROKEN = {
    "claude": '{\n  "mcpServers": {\n}\n',
    "codex": "[mcp_servers\n",
    "cursor": '{"mcpServers": []}',
    "vscode": '{"servers": {"docs": nope}}',
    "opencode": "theme: dark\n",
    "gemini": '["mcpServers"]',
}

each_client = pytest.mark.parametrize("client", CLIENTS.values(), ids=list(CLIENTS))


def said(file: Path) -> dict[str, Any]:
    """Parse a file without comments."""
    text = file.read_text(encoding="utf-8")
    loaded: dict[str, Any] = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    return loaded


def with_server(client: Client, *command: str, **variables: str) -> str:
    """Return a file of the client with one server named `features`."""
    if client.format is toml:
        return tomlkit.dumps(
            {"mcp_servers": {"features": {"command": command[0], "args": list(command[1:]), "env": variables}}}
        )
    if client.name == "opencode":
        entry = {"type": "local", "command": command, "environment": variables}
    else:
        entry = {"command": command[0], "args": command[1:], "env": variables}
    return json.dumps({client.keys[0]: {"features": entry}}, indent=2)


def words(client: Client, file: Path) -> list[str]:
    """Return the command line in the entry of Dibs."""
    entry = said(file)[client.keys[0]]["features"]
    command = entry["command"]
    return list(command) if isinstance(command, list) else [command, *entry.get("args", [])]


def filled(client: Client, root: Path, text: str) -> Path:
    """Write the client's file with the text, byte for byte, and return its path."""
    file = root / EMPTY[client.name]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    return file


@each_client
def test_an_empty_folder_gets_the_entry_that_the_client_reads(client: Client, tmp_path: Path) -> None:
    """The file is created where the client reads it, in the documented format."""
    change = registration(client, tmp_path, SHORT, CODER)
    assert (change.kind, change.file) == ("create", tmp_path / EMPTY[client.name])
    assert not change.file.exists()
    write(change)
    assert said(change.file) == PLAIN[client.name]
    assert [one for one in change.file.parent.iterdir() if one.name.endswith(".new")] == []


@each_client
def test_other_servers_comments_and_forms_stay_byte_for_byte(client: Client, tmp_path: Path) -> None:
    """Existing content stays, and removing the entry restores the same bytes."""
    file = filled(client, tmp_path, OTHERS[client.name])
    change = registration(client, tmp_path, LONG, {})
    assert change.kind == "change"
    write(change)
    data = client.format.parse(file.read_bytes().decode())
    before = client.format.parse(OTHERS[client.name])
    section = client.keys[0]
    assert {key: value for key, value in data[section].items() if key != "features"} == before[section]
    assert {**data, section: None} == {**before, section: None}
    lines = file.read_bytes().decode().splitlines()
    lost = [
        one
        for one in OTHERS[client.name].splitlines()
        if one not in lines and f"{one}," not in lines and "}}" not in one
    ]
    assert lost == [], "only the comma behind the last of the others is new in their lines"
    write(removal(client, tmp_path))
    assert file.read_bytes() == OTHERS[client.name].encode()


@each_client
def test_a_second_time_nothing_is_to_be_done(client: Client, tmp_path: Path) -> None:
    """A second registration, and a removal of a missing entry, change nothing."""
    assert removal(client, tmp_path).kind == "nothing"
    filled(client, tmp_path, OTHERS[client.name])
    assert removal(client, tmp_path).kind == "nothing"
    write(registration(client, tmp_path, SHORT, CODER))
    again = registration(client, tmp_path, SHORT, CODER)
    assert (again.kind, again.diff(tmp_path)) == ("nothing", "")


@each_client
def test_what_an_earlier_flag_has_set_stays(client: Client, tmp_path: Path) -> None:
    """Without options an entry keeps role, name and database; an option changes only its own value."""
    given = {"DIBS_DB": "/data/x.db", "DIBS_PROJECT": "shop", "DIBS_AGENT": "ann", "DIBS_ROLE": "tester"}
    write(registration(client, tmp_path, SHORT, given))
    assert registration(client, tmp_path, SHORT, {}).kind == "nothing"
    change = registration(client, tmp_path, LONG, CODER)
    assert change.entry is not None
    assert change.entry[client.variables] == given | CODER


@each_client
def test_options_in_a_command_of_ours_stay(client: Client, tmp_path: Path) -> None:
    """A user's own options in the command stay, except one that a new option overrides."""
    text = with_server(client, "dibs-mcp", "--role", "tester", "--lease=60")
    file = filled(client, tmp_path, text)
    write(registration(client, tmp_path, LONG, {}))
    assert words(client, file) == [*LONG.words, "--role", "tester", "--lease=60"]
    write(registration(client, tmp_path, LONG, CODER))
    assert words(client, file) == [*LONG.words, "--lease=60"]


@each_client
def test_a_server_of_somebody_else_is_left_alone(client: Client, tmp_path: Path) -> None:
    """Another server named `features` is neither changed nor removed; the refusal shows no secret."""
    file = filled(
        client,
        tmp_path,
        text := with_server(client, "/opt/launchdarkly-mcp", "--key", "s3cret", LD_TOKEN="s3cret"),
    )
    for refused in (
        partial(registration, client, tmp_path, SHORT, CODER),
        partial(removal, client, tmp_path),
    ):
        with pytest.raises(InvalidInput, match=re.escape(str(file))) as told:
            refused()
        assert "starts /opt/launchdarkly-mcp" in told.value.message
        assert "--force" in told.value.message
        assert "s3cret" not in told.value.message
    assert file.read_text() == text
    change = registration(client, tmp_path, SHORT, CODER, force=True)
    assert change.entry == PLAIN[client.name][client.keys[0]]["features"]
    write(removal(client, tmp_path, force=True))
    assert "launchdarkly" not in file.read_text()


@pytest.mark.parametrize(
    "command",
    [
        ("dibs-mcp",),
        ("/home/ann/.local/bin/dibs-mcp", "--role", "coder"),
        ("uvx", "dibs-mcp"),
        ("/usr/bin/uvx", "--from", "git+https://git.example/dibs", "dibs-mcp@0.1.0"),
        ("pipx", "run", "dibs-mcp"),
        ("/opt/python", "-m", "dibs", "serve"),
        ("/opt/python3.12", "-X", "utf8", "-m", "dibs", "serve", "--agent", "ann"),
        ("dibs", "serve"),
        ("C:\\Tools\\dibs-mcp.exe",),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("name", ["gemini", "opencode"])
def test_every_command_of_ours_is_known(name: str, command: tuple[str, ...], tmp_path: Path) -> None:
    """Dibs is recognized with every runner, and in both forms of a command."""
    client = CLIENTS[name]
    file = filled(client, tmp_path, with_server(client, *command))
    assert registration(client, tmp_path, SHORT, {}).entry is not None
    write(removal(client, tmp_path))
    assert "features" not in file.read_text()


@pytest.mark.parametrize(
    "command",
    [
        ("npx", "features"),
        ("uvx", "other-mcp"),
        ("/opt/python", "-m", "theirs", "serve"),
        ("dibs", "list"),
        ("sh", "dibs-mcp"),
        ("uvx", "other-mcp", "dibs-mcp"),
        ("/opt/python", "theirs.py", "-m", "dibs", "serve"),
    ],
    ids=" ".join,
)
def test_a_command_that_only_looks_like_ours_is_not(command: tuple[str, ...], tmp_path: Path) -> None:
    """An argument with the name of Dibs does not make another server ours."""
    filled(CLIENTS["gemini"], tmp_path, with_server(CLIENTS["gemini"], *command))
    with pytest.raises(InvalidInput, match="is not Dibs"):
        removal(CLIENTS["gemini"], tmp_path)


@pytest.mark.parametrize("entry", ['{"url": "http://127.0.0.1:1/mcp?key=s3cret"}', "[]", "{}", '{"command": 1}'])
def test_an_entry_that_starts_nothing_is_not_ours(entry: str, tmp_path: Path) -> None:
    """An entry named `features` with a URL, or without a command, is replaced only with --force."""
    cursor = CLIENTS["cursor"]
    file = filled(cursor, tmp_path, text := f'{{"mcpServers": {{"features": {entry}}}}}')
    for refused in (
        partial(registration, cursor, tmp_path, SHORT, CODER),
        partial(removal, cursor, tmp_path),
    ):
        with pytest.raises(InvalidInput, match="is not Dibs") as told:
            refused()
        assert "s3cret" not in told.value.message
    assert file.read_text() == text
    write(registration(cursor, tmp_path, SHORT, CODER, force=True))
    assert said(file) == PLAIN["cursor"]


@each_client
def test_a_file_that_cannot_be_parsed_is_refused_and_left_alone(client: Client, tmp_path: Path) -> None:
    """A broken file, or one with another structure, is refused by name and stays unchanged."""
    file = filled(client, tmp_path, BROKEN[client.name])
    with pytest.raises(InvalidInput, match=re.escape(str(file))):
        registration(client, tmp_path, SHORT, {})
    if client.name != "cursor":  # their file only has no place for an entry
        with pytest.raises(InvalidInput, match=re.escape(str(file))):
            removal(client, tmp_path)
    assert file.read_bytes() == BROKEN[client.name].encode()
    file.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(InvalidInput, match="byte 7 is not UTF-8"):
        registration(client, tmp_path, SHORT, {})
    assert file.read_bytes() == b'{"a": "\xff"}'


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("claude", '{\n  "a": 1 // one\n}', r"line 2, column 10: Claude Code accepts no comments here"),
        ("claude", '{\n  "a": 1,\n}', r"line 2, column 9: Claude Code accepts no comma after the last value"),
        ("gemini", '{\n  "a": [1,] // one\n}', r"line 2, column 10: Gemini CLI accepts no comma after"),
    ],
)
def test_what_the_client_itself_cannot_read_is_refused(name: str, text: str, words: str, tmp_path: Path) -> None:
    """A file that the client could not read is refused with line and column, and stays unchanged."""
    file = filled(CLIENTS[name], tmp_path, text)
    with pytest.raises(InvalidInput, match=words):
        registration(CLIENTS[name], tmp_path, SHORT, {})
    assert file.read_text() == text


@each_client
def test_what_a_user_added_to_our_entry_stays(client: Client, tmp_path: Path) -> None:
    """A user's own keys and variables stay; the command and the given variables are set."""
    write(registration(client, tmp_path, LONG, {"DIBS_AGENT": "ann"}))
    file = tmp_path / EMPTY[client.name]
    data = said(file)
    entry = data[client.keys[0]]["features"]
    entry["timeout"] = 5000
    entry[client.variables]["DIBS_LEASE"] = "60"
    if file.suffix == ".toml":
        file.write_text(file.read_text().replace("env = {", 'timeout = 5000\nenv = {DIBS_LEASE = "60", '))
    else:
        file.write_text(json.dumps(data))
    write(registration(client, tmp_path, SHORT, CODER))
    wanted = PLAIN[client.name][client.keys[0]]["features"]
    variables = wanted[client.variables] | {"DIBS_AGENT": "ann", "DIBS_LEASE": "60"}
    assert said(file)[client.keys[0]]["features"] == wanted | {"timeout": 5000, client.variables: variables}


def test_a_file_of_opencodes_second_version_keeps_its_form(tmp_path: Path) -> None:
    """If servers are under `mcp.servers`, the entry goes there; a server named `servers` is no such section."""
    opencode = CLIENTS["opencode"]
    file = filled(opencode, tmp_path, '{"mcp": {"servers": {"docs": {"type": "local", "command": ["npx"]}}}}')
    write(registration(opencode, tmp_path, SHORT, {}))
    assert said(file)["mcp"]["servers"]["features"] == {"type": "local", "command": ["dibs-mcp"]}
    write(removal(opencode, tmp_path))
    assert list(said(file)["mcp"]["servers"]) == ["docs"]
    file.write_text('{"mcp": {"servers": {"type": "local", "command": ["npx"]}}}')
    write(registration(opencode, tmp_path, SHORT, {}))
    assert list(said(file)["mcp"]) == ["servers", "features"]


def test_opencode_uses_the_file_that_is_there(tmp_path: Path) -> None:
    """If there is an `opencode.jsonc`, no `opencode.json` is created."""
    (tmp_path / "opencode.jsonc").write_text("{} // mine\n")
    write(registration(CLIENTS["opencode"], tmp_path, SHORT, {}))
    assert [one.name for one in tmp_path.iterdir()] == ["opencode.jsonc"]
    assert (tmp_path / "opencode.jsonc").read_text().endswith("} // mine\n")


def test_mode_and_link_of_a_file_stay(tmp_path: Path) -> None:
    """The target of a link is written with its old mode, and the link stays a link."""
    (tmp_path / "dotfiles").mkdir()
    real = tmp_path / "dotfiles" / "mcp.json"
    real.write_text("{}")
    real.chmod(0o640)
    (tmp_path / ".mcp.json").symlink_to("dotfiles/mcp.json")
    write(registration(CLIENTS["claude"], tmp_path, SHORT, CODER))
    assert (tmp_path / ".mcp.json").is_symlink()
    assert said(real) == PLAIN["claude"]
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_read_only_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A read-only file is not replaced, not even by root."""
    file = filled(CLIENTS["claude"], tmp_path, "{}")
    file.chmod(0o444)
    with pytest.raises(ReadOnly, match="read-only"):
        registration(CLIENTS["claude"], tmp_path, SHORT, {})
    assert file.read_text() == "{}"
    (tmp_path / ".cursor").write_text("a file where a folder should be")
    with pytest.raises(ReadOnly, match=r"\.cursor/mcp\.json cannot be read"):
        registration(CLIENTS["cursor"], tmp_path, SHORT, {})


def test_a_file_that_changes_meanwhile_is_left_alone(tmp_path: Path) -> None:
    """A change by another program between reading and writing is not overwritten."""
    change = registration(CLIENTS["claude"], tmp_path, SHORT, {})
    file = filled(CLIENTS["claude"], tmp_path, '{"mcpServers": {}}')
    with pytest.raises(Busy, match="Another program changed"):
        write(change)
    assert file.read_text() == '{"mcpServers": {}}'


def test_the_example_is_what_init_writes_for_claude(tmp_path: Path) -> None:
    """`.mcp.json.example` and `dibs init claude` are the same, byte for byte."""
    example = Path(__file__).parents[2] / ".mcp.json.example"
    assert registration(CLIENTS["claude"], tmp_path, SHORT, {}).after == example.read_text(encoding="utf-8")


def test_the_command_is_one_that_the_client_will_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is `dibs-mcp` if it is on PATH, uvx for a dibs from a cache, else this Python by its full path."""
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    nowhere = server_command(tmp_path, search=str(tmp_path))
    assert nowhere.words[1:] == ("-m", "dibs", "serve")
    assert Path(nowhere.words[0]).is_absolute()
    script = tmp_path / "dibs-mcp"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    found = server_command(tmp_path, search=str(tmp_path))
    assert (found.words, found.why) == (("dibs-mcp",), f"dibs-mcp is on PATH, at {script}")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))
    assert "only while this virtual environment is active" in server_command(tmp_path, search=str(tmp_path)).why
    for cache in (".cache/uv/archive-v0/x1", ".local/share/pipx/.cache/x1", ".cache/pipx/x1"):
        cached = server_command(
            Path("/home/ann", cache), search=str(tmp_path), source="git+https://git.example/dibs@v1"
        )
        assert cached.words == ("uvx", "--from", "git+https://git.example/dibs@v1", "dibs-mcp"), cache
    for lasting in (".cache/pypoetry/virtualenvs/x1", ".cache/mine/venv", "Library/Caches/pypoetry/virtualenvs/x1"):
        assert server_command(Path("/home/ann", lasting), search=str(tmp_path)).words == ("dibs-mcp",), lasting


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ({"url": "file:///home/ann/dibs", "dir_info": {}}, "file:///home/ann/dibs"),
        ({"url": "https://files.example/dibs.whl", "archive_info": {}}, "https://files.example/dibs.whl"),
        (
            {
                "url": "https://git.example/dibs",
                "vcs_info": {"vcs": "git", "commit_id": "abc", "requested_revision": "v1"},
            },
            "git+https://git.example/dibs@v1",
        ),
        (
            {
                "url": "ssh://git@git.example/all",
                "vcs_info": {"vcs": "git", "commit_id": "abc"},
                "subdirectory": "dibs",
            },
            "git+ssh://git@git.example/all@abc#subdirectory=dibs",
        ),
    ],
)
def test_what_was_installed_from_elsewhere_is_fetched_from_there_again(origin: dict[str, Any], expected: str) -> None:
    """Until Dibs is in an index, `uvx dibs-mcp` finds nothing: the entry names the place that this Dibs came from."""
    assert requirement(origin) == expected
    assert options_of(["uvx", "--from", expected, "dibs-mcp", "--role", "coder"]) == ["--role", "coder"]
