"""The clients: where each one keeps a project's MCP servers, and the form of an entry there.

Sources: code.claude.com/docs/en/mcp; developers.openai.com/codex/mcp; cursor.com/docs/mcp;
code.visualstudio.com/docs/agents/reference/mcp-configuration; opencode.ai/docs/mcp-servers and
opencode.ai/v2/docs/mcp-servers; geminicli.com/docs/tools/mcp-server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from dibs.registration import jsonc, toml
from dibs.registration.command import Command, options_of
from dibs.registration.remote import KEYS, Remote, codex_entry, entry_with_headers

ServerEntry = dict[str, Any]
NAME = "features"
"""The name of the server in every client."""
FORM = frozenset({"type", "command", "args"})
"""The keys of an entry, without its variables, that say how to start the server."""


@dataclass(frozen=True, slots=True)
class Client:
    """One MCP client.

    `files` are the possible paths of its project configuration; a new file gets the first. `signs` are further paths
    that show that a project uses the client. `comments` and `trailing_commas` say what its parser accepts beyond JSON,
    as tested with the client itself. `passes_on` says whether its servers see the variables of the user's shell.
    """

    name: str
    title: str
    files: tuple[str, ...]
    keys: tuple[str, ...]
    signs: tuple[str, ...]
    entry: Callable[[Command, Mapping[str, str]], ServerEntry]
    remote: Callable[[Remote], ServerEntry]
    format: ModuleType = jsonc
    variables: str = "env"
    beginning: str = ""
    note: str = ""
    comments: bool = True
    trailing_commas: bool = True
    passes_on: bool = True

    def parse(self, text: str) -> dict[str, Any]:
        """Parse a file of this client. Raises Unreadable, also for text that only this client cannot read."""
        data: dict[str, Any] = self.format.parse(text)
        if self.format is jsonc:
            jsonc.refuse_extras(text, self.title, comments=self.comments, trailing_commas=self.trailing_commas)
        return data

    def file(self, root: Path) -> Path:
        """Return the path of its configuration file in a project."""
        return next((root / one for one in self.files if (root / one).exists()), root / self.files[0])

    def is_used_in(self, root: Path) -> bool:
        """Check whether the project has a file or folder of this client."""
        return any((root / one).exists() for one in (*self.files, *self.signs))

    def place(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the keys that lead to the entry in a file with this content."""
        if self.name == "opencode" and _has_servers(data.get("mcp")):
            return ("mcp", "servers", NAME)
        return (*self.keys, NAME)


def _has_servers(section: object) -> bool:
    """Check for the section of opencode's second version, as opposed to a server with the name `servers`."""
    servers = section.get("servers") if isinstance(section, dict) else None
    return isinstance(servers, dict) and not isinstance(servers.get("type"), str)


def _plain(command: Command, variables: Mapping[str, str]) -> ServerEntry:
    entry: ServerEntry = {"command": command.program}
    if command.arguments:
        entry["args"] = command.arguments
    return entry | ({"env": dict(variables)} if variables else {})


def _with_type(command: Command, variables: Mapping[str, str]) -> ServerEntry:
    return {"type": "stdio", **_plain(command, variables)}


def _claude(command: Command, variables: Mapping[str, str]) -> ServerEntry:
    """Return the entry of `.mcp.json.example`: each user's shell may set the variables that are not set here."""
    defaults = {"DIBS_DB": "${DIBS_DB:-}", "DIBS_ROLE": "${DIBS_ROLE:-all}"}
    return {"command": command.program, "args": command.arguments, "env": defaults | dict(variables)}


def _codex(command: Command, variables: Mapping[str, str]) -> ServerEntry:
    """Set `required`: without it, a turn begins before the server has started, and the agent has no tools."""
    return _plain(command, variables) | {"required": True}


def _opencode(command: Command, variables: Mapping[str, str]) -> ServerEntry:
    entry: ServerEntry = {"type": "local", "command": list(command.words)}
    return entry | ({"environment": dict(variables)} if variables else {})


CLIENTS = {
    one.name: one
    for one in (
        Client(
            "claude",
            "Claude Code",
            (".mcp.json",),
            ("mcpServers",),
            (".claude", "CLAUDE.md"),
            _claude,
            entry_with_headers("${{{}}}", more={"type": "http"}),
            note="Claude Code asks once whether to trust the servers in this file.",
            comments=False,
            trailing_commas=False,
        ),
        Client(
            "codex",
            "Codex",
            (".codex/config.toml",),
            ("mcp_servers",),
            (".codex",),
            _codex,
            codex_entry,
            format=toml,
            note="Codex reads this file in projects that it trusts, and does not pass on DIBS_* variables of your shell.",
            passes_on=False,
        ),
        Client(
            "cursor",
            "Cursor",
            (".cursor/mcp.json",),
            ("mcpServers",),
            (".cursor",),
            _with_type,
            entry_with_headers("${{env:{}}}"),
        ),
        Client(
            "vscode",
            "VS Code",
            (".vscode/mcp.json",),
            ("servers",),
            (".vscode",),
            _with_type,
            entry_with_headers("${{env:{}}}", more={"type": "http"}),
            note="VS Code asks whether to trust the server when it first starts it.",
        ),
        Client(
            "opencode",
            "opencode",
            ("opencode.json", "opencode.jsonc"),
            ("mcp",),
            (".opencode",),
            _opencode,
            entry_with_headers("{{env:{}}}", more={"type": "remote", "oauth": False}),
            variables="environment",
            beginning='{\n  "$schema": "https://opencode.ai/config.json"\n}\n',
        ),
        Client(
            "gemini",
            "Gemini CLI",
            (".gemini/settings.json",),
            ("mcpServers",),
            (".gemini", "GEMINI.md"),
            _plain,
            entry_with_headers("${{{}}}", "httpUrl"),
            note="Gemini CLI starts the servers in this file in folders that it trusts.",
            trailing_commas=False,
        ),
    )
}
"""All clients by their names on the command line."""


def words_of(entry: object) -> list[str]:
    """Return the command line of an entry; empty if it has none. Some clients keep it as one list."""
    if not isinstance(entry, dict):
        return []
    command, arguments = entry.get("command"), entry.get("args", [])
    words = command if isinstance(command, list) else [command, *arguments] if isinstance(arguments, list) else []
    return words if all(isinstance(one, str) for one in words) else []


def is_ours(entry: object) -> bool:
    """Check whether an entry starts or reaches Dibs, and not another server of the same name."""
    words = words_of(entry)
    return options_of(words) is not None if words else Remote.of(entry) is not None


def merged(client: Client, there: object, command: Command, variables: Mapping[str, str]) -> ServerEntry:
    """Return the entry that replaces the one `there`. An entry of Dibs keeps what `command` and `variables` do not set."""
    if not isinstance(there, dict) or not is_ours(there):
        return client.entry(command, variables)
    if not words_of(there):  # a server over HTTP
        return {name: value for name, value in there.items() if name not in KEYS} | client.entry(command, variables)
    options = _without(options_of(words_of(there)) or [], variables)
    ours = client.entry(Command((*command.words, *options), command.why), variables)
    kept = {key: value for key, value in there.items() if key not in FORM or key in ours}
    given = kept.pop(client.variables, None)
    known = given if isinstance(given, dict) else {}
    all_variables = ours.get(client.variables, {}) | known | dict(variables)
    fixed = {key: value for key, value in ours.items() if key in FORM or key not in kept}
    return kept | fixed | ({client.variables: all_variables} if all_variables else {})


def merged_remote(client: Client, there: object, remote: Remote) -> ServerEntry:
    """Return the entry of a server over HTTP that replaces the one `there`. Members not about the transport stay."""
    kept = there if isinstance(there, dict) and is_ours(there) else {}
    return {name: value for name, value in kept.items() if name not in KEYS} | client.remote(remote)


def _without(options: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """Return the options without those that would override one of the variables."""
    overridden = {"--" + name.removeprefix("DIBS_").lower() for name in variables}
    return [
        one
        for one, before in zip(options, ["", *options], strict=False)
        if one.partition("=")[0] not in overridden and before not in overridden
    ]
