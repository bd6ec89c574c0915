"""The data for the registry and the bundle is correct, and the bundle starts the server."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import string
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from jsonschema import validators  # type: ignore[import-untyped]  # the package has no types

from dibs import __version__
from dibs.registration.server_check import Launch, check_server
from dibs.settings import Settings
from dibs_schema.roles import Role

ROOT = Path(__file__).parents[2]
PUBLISHING = ROOT / "docs" / "publishing"


def said(name: str) -> dict[str, Any]:
    """Return the content of a file in `docs/publishing`."""
    loaded: dict[str, Any] = json.loads((PUBLISHING / name).read_text(encoding="utf-8"))
    return loaded


def test_the_registry_entry_is_of_this_package_and_version() -> None:
    """`server.json` names the distribution and its version, within the registry's limits, and the README has its name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entry = said("server.json")
    assert entry["version"] == project["version"] == __version__
    assert re.fullmatch(r"io\.github\.[a-zA-Z0-9-]+/dibs", entry["name"])
    assert 1 <= len(entry["description"]) <= 100
    (package,) = entry["packages"]
    assert (package["identifier"], package["version"]) == (project["name"], project["version"])
    assert project["name"] in project["scripts"], "uvx starts the script of the distribution's name"
    markers = re.findall(r"^<!-- mcp-name: (\S+) -->$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert markers == [entry["name"]]


def test_published_variables_are_settings() -> None:
    """Every variable of the entry and the bundle is a setting of the server, and the listed roles exist."""
    asked = {one["name"]: one for one in said("server.json")["packages"][0]["environmentVariables"]}
    set_by_bundle = set(said("manifest.json")["server"]["mcp_config"]["env"])
    for variable in {*asked, *set_by_bundle}:
        assert variable.removeprefix("DIBS_").lower() in Settings.model_fields
    assert asked["DIBS_ROLE"]["choices"] == [role.value for role in Role]


def test_the_registry_entry_fits_the_registrys_schema() -> None:
    """`server.json` is valid under its schema. `server.schema.json` is that schema without the descriptions."""
    rules = json.loads((Path(__file__).parent / "server.schema.json").read_text(encoding="utf-8"))
    assert rules["$id"] == said("server.json")["$schema"]
    validator = validators.validator_for(rules)(rules)
    assert [error.message for error in validator.iter_errors(said("server.json"))] == []
    assert list(validator.iter_errors(said("server.json") | {"description": "x" * 101})) != []


def test_the_bundle_holds_all_that_the_server_needs(tmp_path: Path) -> None:
    """Packed, unpacked elsewhere and started as its manifest says, it serves the chosen folder with its own code."""
    subprocess.run(
        ["make", "--always-make", f"{tmp_path}/made", f"BUNDLE={tmp_path}/made"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    packed = shutil.make_archive(str(tmp_path / "dibs"), "zip", tmp_path / "made")
    bundle, folder = tmp_path / "bundle", tmp_path / "shop"
    shutil.unpack_archive(packed, bundle)
    folder.mkdir()
    assert json.loads((bundle / "manifest.json").read_text()) == said("manifest.json")
    assert said("manifest.json")["version"] == __version__
    assert (bundle / said("manifest.json")["server"]["entry_point"]).is_file()
    start = started(bundle, folder)
    where = subprocess.run(
        [start.words[0], "-c", "import dibs, dibs_schema; print(dibs.__file__, dibs_schema.__file__)"],
        env={**os.environ, **dict(start.variables)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [Path(one).is_relative_to(bundle) for one in where.stdout.split()] == [True, True]
    assert check_server(start, tmp_path).database == str(folder / ".dibs" / "features.db")


def started(bundle: Path, folder: Path) -> Launch:
    """Return the manifest's command with its placeholders filled in, as a host does.

    `uv run` makes an environment of `pyproject.toml` and starts Python in it: here it is the tests' own environment.
    """
    config = said("manifest.json")["server"]["mcp_config"]
    values = {"__dirname": str(bundle), "user_config.folder": str(folder), "user_config.role": "all"}

    def filled(text: str) -> str:
        return re.sub(r"\$\{([\w.]+)\}", lambda one: values[one[1]], text)

    assert [config["command"], *config["args"]] == [
        "uv",
        "run",
        "--quiet",
        "--project",
        "${__dirname}",
        "${__dirname}/start.py",
    ]
    variables = {name: filled(text) for name, text in config["env"].items()}
    variables["PYTHONPATH"] = f"{bundle}/server{os.pathsep}{bundle}/schema"
    return Launch((sys.executable, filled(config["args"][-1])), tuple(variables.items()), passes_on=True)


def test_the_official_tool_accepts_the_bundle() -> None:
    """`make bundle` packs the bundle and validates it with `mcpb` from npm."""
    if not os.environ.get("DIBS_TEST_LONG"):
        pytest.skip("it fetches the tool from npm: DIBS_TEST_LONG=1 runs it")
    done = subprocess.run(["make", "bundle"], cwd=ROOT, capture_output=True, text=True, check=False)
    if "missing or cannot be reached" in done.stdout:
        pytest.skip(done.stdout.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Manifest schema validation passes!" in done.stdout
    assert (ROOT / "build" / "dibs.mcpb").stat().st_size > 100_000


def test_the_plugins_forms_say_the_same() -> None:
    """Each client reads a manifest of its own, and all name one plugin, one version and one command."""
    portable, claude, codex = (
        json.loads((ROOT / "plugin" / name).read_text(encoding="utf-8"))
        for name in ("plugin.json", ".claude-plugin/plugin.json", ".codex-plugin/plugin.json")
    )
    shared = ("name", "version", "description")
    assert {one: portable[one] for one in shared} == {one: claude[one] for one in shared}
    assert {one: portable[one] for one in shared} == {one: codex[one] for one in shared}
    assert {"version": portable["version"]} == {"version": __version__}
    servers = [
        json.loads((ROOT / "plugin" / name).read_text(encoding="utf-8"))["mcpServers"]["features"]
        for name in ("mcp.json", ".mcp.json", ".codex-plugin/plugin.json")
    ]
    assert {one["command"] for one in servers} == {"dibs-mcp"}


def test_the_links_of_the_readme_install_the_server() -> None:
    """Each link has the server's name, and a configuration that its client can decode, with the command of the plugin.

    Sources: https://docs.cursor.com/tools/developers (base64 of the server's JSON, percent-encoded) and
    https://code.visualstudio.com/api/extension-guides/ai/mcp (the JSON, percent-encoded).
    """
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = {}
    for link in re.findall(r"\((https://[^)]*install[^)]*config=[^)]*)\)", readme):
        parts = urlsplit(link)
        assert set(parts.query) <= set(f"{string.ascii_letters}{string.digits}%&=-_."), "nothing ends the link early"
        query = parse_qs(parts.query, strict_parsing=True)
        assert query["name"] == ["features"]
        found[parts.hostname] = query["config"][0]
    assert found.keys() == {"cursor.com", "vscode.dev"}
    assert json.loads(base64.b64decode(found["cursor.com"], validate=True)) == {"command": "dibs-mcp"}
    assert json.loads(found["vscode.dev"]) == {"type": "stdio", "command": "dibs-mcp"}
