"""Makes the extension for Gemini CLI of the files in `plugin/`: `python docs/publishing/gemini_extension.py FOLDER`.

Gemini CLI 0.61 has other names of events, matches the source of a session exactly, and loads no agents of Claude Code.
Sources: https://geminicli.com/docs/extensions/reference, https://geminicli.com/docs/hooks/reference
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

PLUGIN = Path(__file__).parents[2] / "plugin"
EVENTS = {"SessionStart": "SessionStart", "PreCompact": "PreCompress", "SessionEnd": "SessionEnd"}
"""The events of the plugin's hooks, and their names in Gemini CLI."""


def make(folder: Path) -> None:
    """Write the extension into a new folder. Raises FileExistsError if there is one."""
    folder.mkdir(parents=True)
    shutil.copytree(PLUGIN / "skills", folder / "skills")
    servers = _read("mcp.json")["mcpServers"]
    manifest = {
        name: value for name, value in _read("plugin.json").items() if name in ("name", "version", "description")
    }
    for server in servers.values():
        del server["type"]
    hooks = _read("hooks/hooks.json")["hooks"]
    groups = {EVENTS[event]: [{"hooks": one["hooks"]} for one in of_event] for event, of_event in hooks.items()}
    (folder / "hooks").mkdir()
    _write(folder / "gemini-extension.json", manifest | {"mcpServers": servers})
    _write(folder / "hooks" / "hooks.json", {"hooks": groups})


def _read(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((PLUGIN / name).read_text(encoding="utf-8"))
    return value


def _write(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
