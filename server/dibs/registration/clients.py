"""The clients: where each keeps a project's MCP servers, and the form of an entry there.

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

Entry = dict[str, Any]
NAME = "features"
"""What the server is called in every client."""
FORM = frozenset({"type", "command", "args"})
"""The keys of an entry, beside its variables, that say how the server is started."""


@dataclass(frozen=True, slots=True)
class Client:
    """One MCP client; `files` are where its project configuration may be, the first where there is none yet."""

    name: str
    title: str
    files: tuple[str, ...]
    keys: tuple[str, ...]
    signs: tuple[str, ...]
    entry: Callable[[Command, Mapping[str, str]], Entry]
    format: ModuleType = jsonc
    variables: str = "env"
    beginning: str = ""
    note: str = ""
    comments: bool = True
    trailing_commas: bool = True
    """What it reads beyond plain JSON, as its program was seen to do."""
    passes_on: bool = True
    """Whether the servers that it starts see the variables of the shell that it was started in."""

    def parse(self, text: str) -> dict[str, Any]:
        """What a file of this client says. Raises Unreadable, also for what this client alone cannot read."""
        data: dict[str, Any] = self.format.parse(text)
        if self.format is jsonc:
            jsonc.refuse_extras(
                text, self.title, comments=self.comments, trailing_commas=self.trailing_commas
            )
        return data

    def file(self, root: Path) -> Path:
        """Its configuration file in a project."""
        return next((root / one for one in self.files if (root / one).exists()), root / self.files[0])

    def is_used_in(self, root: Path) -> bool:
        """Whether something of this client is in the project."""
        return any((root / one).exists() for one in (*self.files, *self.signs))

    def place(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        """The keys under which the entry stands in a file that says `data`."""
        if self.name == "opencode" and _has_servers(data.get("mcp")):
            return ("mcp", "servers", NAME)
        return (*self.keys, NAME)


def _has_servers(section: object) -> bool:
    """Whether it is the section of opencode's second version, and not a server with the name `servers`."""
    servers = section.get("servers") if isinstance(section, dict) else None
    return isinstance(servers, dict) and not isinstance(servers.get("type"), str)


def _plain(command: Command, variables: Mapping[str, str]) -> Entry:
    entry: Entry = {"command": command.program}
    if command.arguments:
        entry["args"] = command.arguments
    return entry | ({"env": dict(variables)} if variables else {})


def _with_type(command: Command, variables: Mapping[str, str]) -> Entry:
    return {"type": "stdio", **_plain(command, variables)}


def _claude(command: Command, variables: Mapping[str, str]) -> Entry:
    """The entry of `.mcp.json.example`: what is not settled here, each user's shell may settle."""
    defaults = {"DIBS_DB": "${DIBS_DB:-}", "DIBS_ROLE": "${DIBS_ROLE:-all}"}
    return {"command": command.program, "args": command.arguments, "env": defaults | dict(variables)}


def _codex(command: Command, variables: Mapping[str, str]) -> Entry:
    """With `required`, without which a turn begins before the server is up, and the agent sees no backlog."""
    return _plain(command, variables) | {"required": True}


def _opencode(command: Command, variables: Mapping[str, str]) -> Entry:
    entry: Entry = {"type": "local", "command": list(command.words)}
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
            note="Claude Code asks once whether to trust the servers of this file.",
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
            format=toml,
            note="Codex reads this file in projects that it trusts, and passes no DIBS_* of your shell on.",
            passes_on=False,
        ),
        Client("cursor", "Cursor", (".cursor/mcp.json",), ("mcpServers",), (".cursor",), _with_type),
        Client(
            "vscode",
            "VS Code",
            (".vscode/mcp.json",),
            ("servers",),
            (".vscode",),
            _with_type,
            note="VS Code asks whether to trust the server when it first starts it.",
        ),
        Client(
            "opencode",
            "opencode",
            ("opencode.json", "opencode.jsonc"),
            ("mcp",),
            (".opencode",),
            _opencode,
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
            note="Gemini CLI starts the servers of this file in folders that it trusts.",
            trailing_commas=False,
        ),
    )
}
"""Every client by its name on the command line."""


def words_of(entry: object) -> list[str]:
    """The command line of an entry, which some clients keep as one list; empty where it starts nothing."""
    if not isinstance(entry, dict):
        return []
    command, arguments = entry.get("command"), entry.get("args", [])
    words = (
        command if isinstance(command, list) else [command, *arguments] if isinstance(arguments, list) else []
    )
    return words if all(isinstance(one, str) for one in words) else []


def is_ours(entry: object) -> bool:
    """Whether it is our server that an entry starts, and not somebody else's of the same name."""
    words = words_of(entry)
    return bool(words) and options_of(words) is not None


def merged(client: Client, there: object, command: Command, variables: Mapping[str, str]) -> Entry:
    """The entry to write over what is `there`: what ours has stays, unless it is told otherwise."""
    if not isinstance(there, dict) or not is_ours(there):
        return client.entry(command, variables)
    options = _without(options_of(words_of(there)) or [], variables)
    ours = client.entry(Command((*command.words, *options), command.why), variables)
    kept = {key: value for key, value in there.items() if key not in FORM or key in ours}
    given = kept.pop(client.variables, None)
    known = given if isinstance(given, dict) else {}
    all_variables = ours.get(client.variables, {}) | known | dict(variables)
    fixed = {key: value for key, value in ours.items() if key in FORM or key not in kept}
    return kept | fixed | ({client.variables: all_variables} if all_variables else {})


def _without(options: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """The options but for those that say what one of the variables says, which they would overrule."""
    told = {"--" + name.removeprefix("DIBS_").lower() for name in variables}
    return [
        one
        for one, before in zip(options, ["", *options], strict=False)
        if one.partition("=")[0] not in told and before not in told
    ]
