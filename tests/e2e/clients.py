"""The real clients: how each one is configured, started and separated from the network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.dialects import Completions, Messages, Responses
from e2e.fetching import BIN
from e2e.model import Dialect

KEY = "sk-nobody"
"""A key that the model server accepts."""

LIMIT = {"context": 200_000, "output": 8_000}
"""The context size that opencode assumes; opencode shortens longer conversations."""

WAITING = {"MCP_CONNECTION_NONBLOCKING": "0", "MCP_CONNECT_TIMEOUT_MS": "60000"}
"""Makes Claude Code wait for its servers, for longer than five seconds."""

NOWHERE = "http://127.0.0.1:9"
"""An address without a listener, as the proxy for connections beyond loopback."""

PROMPT = "Build the features of the MCP server `features` until it says complete."


@dataclass(frozen=True)
class Place:
    """A temporary home with a project, and the command of the server that is registered in the project.

    With `db`, the path of a backlog, `dibs init` registers the server, and chooses the command itself.
    """

    home: Path
    project: Path
    command: list[str]
    db: Path | None = None

    @classmethod
    def make(cls, folder: Path, command: list[str], db: Path | None = None) -> Place:
        """Make a new place in `folder`."""
        home, project = folder / "home", folder / "project"
        for one in (home, project):
            one.mkdir(parents=True)
        return cls(home, project, command, db)

    @property
    def server_environment(self) -> dict[str, str]:
        """The environment that the server needs: clients pass on few of their own variables."""
        return {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}


def late(seconds: float, command: list[str]) -> list[str]:
    """The command of a server that starts after a delay."""
    return ["sh", "-c", f'sleep {seconds}; exec "$@"', "late", *command]


class Client(ABC):
    """A coding agent's program."""

    name: str
    dialect: type[Dialect]

    def register(self, place: Place) -> None:
        """Register the server with the client, by `dibs init` or, for a test's own server, by hand."""
        if place.db is None:
            self.register_by_hand(place)
            return
        init = [sys.executable, "-m", "dibs", "init", self.name, "--yes", "--db", str(place.db), "--json"]
        done = subprocess.run(init, cwd=place.project, capture_output=True, text=True, check=True)
        (registered,) = json.loads(done.stdout)["clients"]
        assert registered["server"], done.stdout  # the server was started, and has answered

    @abstractmethod
    def register_by_hand(self, place: Place) -> None:
        """Write the configuration of a server with any command."""

    @abstractmethod
    def settle(self, place: Place, url: str) -> dict[str, str]:
        """Point the client to the model at `url`; return the environment variables that it needs."""

    @abstractmethod
    def command(self, prompt: str) -> list[str]:
        """Return the command line of a run without a person."""

    def environment(self, place: Place, url: str) -> dict[str, str]:
        """The whole environment of the client, which inherits only the language and PATH."""
        home = str(place.home)
        return {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": home,
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "XDG_CONFIG_HOME": f"{home}/.config",
            "XDG_DATA_HOME": f"{home}/.local/share",
            "XDG_STATE_HOME": f"{home}/.local/state",
            "XDG_CACHE_HOME": f"{home}/.cache",
            "HTTP_PROXY": NOWHERE,
            "HTTPS_PROXY": NOWHERE,
            "NO_PROXY": "127.0.0.1,localhost",
            **self.settle(place, url),
        }


class Claude(Client):
    """Claude Code."""

    name = "claude"
    dialect = Messages
    waits = True
    """Whether the client waits for its servers before it calls the model."""

    def register_by_hand(self, place: Place) -> None:
        """Write the project's `.mcp.json`."""
        command, *arguments = place.command
        server = {"command": command, "args": arguments, "env": place.server_environment}
        _write(place.project / ".mcp.json", {"mcpServers": {"features": server}})

    def settle(self, place: Place, url: str) -> dict[str, str]:
        """Allow the project's server in the user's settings, and let the client call only the model."""
        config = place.home / ".claude"
        _write(
            config / "settings.json",
            {"enableAllProjectMcpServers": True, "permissions": {"allow": ["mcp__features"]}},
        )
        trusted = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
        _write(
            config / ".claude.json",
            {"hasCompletedOnboarding": True, "projects": {str(place.project): trusted}},
        )
        return {
            "CLAUDE_CONFIG_DIR": str(config),
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": KEY,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            **(WAITING if self.waits else {}),
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
        }

    def command(self, prompt: str) -> list[str]:
        """See Client."""
        return ["claude", "--print", prompt, "--output-format", "json", "--model", "claude-sonnet-4-5"]


class Codex(Client):
    """Codex."""

    name = "codex"
    dialect = Responses
    required = True
    """Whether a session waits for the server."""

    def register_by_hand(self, place: Place) -> None:
        """Write a table of `config.toml`."""
        command, *arguments = place.command
        lines = [
            "[mcp_servers.features]",
            f"command = {json.dumps(command)}",
            f"args = {json.dumps(arguments)}",
            f"required = {str(self.required).lower()}",
            "[mcp_servers.features.env]",
            *(f"{name} = {json.dumps(value)}" for name, value in place.server_environment.items()),
        ]
        _append(place.home / ".codex" / "config.toml", lines)

    def settle(self, place: Place, url: str) -> dict[str, str]:
        """Add a model provider of our own. Root keys come before the tables."""
        path = place.home / ".codex" / "config.toml"
        tables = path.read_text(encoding="utf-8") if path.exists() else ""
        path.parent.mkdir(parents=True, exist_ok=True)
        head = [
            'model = "gpt-5.5"',
            'model_provider = "scripted"',
            'approval_policy = "never"',
            'sandbox_mode = "danger-full-access"',
            "check_for_update_on_startup = false",
            "[analytics]",
            "enabled = false",
            "[model_providers.scripted]",
            'name = "scripted"',
            f'base_url = "{url}/v1"',
            'env_key = "SCRIPTED_KEY"',
            'wire_api = "responses"',
            f"[projects.{json.dumps(str(place.project))}]",
            'trust_level = "trusted"',
        ]
        path.write_text("\n".join(head) + "\n" + tables, encoding="utf-8")
        return {"CODEX_HOME": str(path.parent), "SCRIPTED_KEY": KEY}

    def command(self, prompt: str) -> list[str]:
        """See Client."""
        return ["codex", "exec", "--json", "--skip-git-repo-check", prompt]


class Opencode(Client):
    """opencode."""

    name = "opencode"
    dialect = Completions

    def register_by_hand(self, place: Place) -> None:
        """Write the project's `opencode.json`."""
        server = {"type": "local", "command": place.command, "environment": place.server_environment}
        _write(place.project / "opencode.json", {"mcp": {"features": server}})

    def settle(self, place: Place, url: str) -> dict[str, str]:
        """Name a model provider of our own in the user's configuration."""
        _write(
            place.home / ".config" / "opencode" / "opencode.json",
            {
                "autoupdate": False,
                "share": "disabled",
                "model": "scripted/model",
                "small_model": "scripted/model",
                "enabled_providers": ["scripted"],
                "provider": {
                    "scripted": {
                        "npm": "@ai-sdk/openai-compatible",
                        "options": {"baseURL": f"{url}/v1", "apiKey": KEY},
                        "models": {
                            "model": {
                                "name": "model",
                                "tool_call": True,
                                "limit": {"context": 200000, "output": 8000},
                            }
                        },
                    }
                },
            },
        )
        return {
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
            "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        }

    def command(self, prompt: str) -> list[str]:
        """See Client."""
        return ["opencode", "run", prompt]


class Gemini(Client):
    """Gemini CLI, of which only the connection is tested: our model does not speak its protocol."""

    name = "gemini"

    def register_by_hand(self, place: Place) -> None:
        """Write the project's `.gemini/settings.json`."""
        command, *arguments = place.command
        server = {"command": command, "args": arguments, "env": place.server_environment}
        _write(place.project / ".gemini" / "settings.json", {"mcpServers": {"features": server}})

    def settle(self, place: Place, url: str) -> dict[str, str]:
        """Trust the project in the user's settings."""
        _write(
            place.home / ".gemini" / "settings.json",
            {
                "general": {"enableAutoUpdate": False},
                "privacy": {"usageStatisticsEnabled": False},
                "security": {"folderTrust": {"enabled": False}},
            },
        )
        return {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": url}

    def command(self, prompt: str) -> list[str]:
        """See Client."""
        return ["gemini", "--prompt", prompt]


CLIENTS: tuple[Client, ...] = (Claude(), Codex(), Opencode())


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


def _append(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
