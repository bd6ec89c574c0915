"""Runs the fixtures for the tests of a harness with pytest's own tester."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from client.test_docs import BLOCKS

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]

HARNESS_TESTS = """
import json
import os
import subprocess

import pytest

OPENING = [
    {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18",
     "capabilities": {}, "clientInfo": {"name": "agent", "version": "1"}}},
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
]

def agent(command, tool, **arguments):
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    lines = "".join(json.dumps(message) + "\\n" for message in [*OPENING, call])
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return next(one["result"]["structuredContent"] for one in answers if one.get("id") == 2)

def test_an_agent_sees_what_the_backlog_has(dibs_backlog, dibs_server):
    dibs_backlog.create("core", "Sign in", "What it does.", ["Look."])
    assert agent(dibs_server.command, "feature_get_by_id", feature_id=1)["name"] == "Sign in"

def test_the_next_test_starts_from_nothing(dibs_backlog):
    assert dibs_backlog.stats().total == 0

def test_the_environment_leads_to_it(dibs_backlog, dibs_server):
    assert {name: os.environ[name] for name in os.environ if name.startswith("DIBS_")} == dibs_server.environment
    assert dibs_backlog.stats().database == dibs_server.db == os.environ["DIBS_DB"]

@pytest.mark.xfail(strict=True, reason="a test's own failure is its own")
def test_what_a_test_raises_is_its_own(dibs_backlog):
    assert dibs_backlog.stats().total == 1
"""


def test_pytest_loads_the_plugin_only_where_it_is_named() -> None:
    """An installed Dibs declares no pytest entry point, so that it stays out of every other test run."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "pytest11" not in declared["project"].get("entry-points", {})


def test_a_harness_tests_itself_with_the_fixtures(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a backlog of its own, agents reach it, and the developer's settings do not leak into it."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("DIBS_ROLE", "viewer")
    monkeypatch.setenv("DIBS_DB", "/nowhere/features.db")
    (of_the_docs,) = [block for block in BLOCKS if "def test_" in block]
    harness = 'pytest_plugins = ["dibs.client.pytest_plugin"]\n' + HARNESS_TESTS
    pytester.makepyfile(test_harness=harness, test_of_the_docs=of_the_docs)
    done = pytester.runpytest_subprocess()
    done.assert_outcomes(passed=6, xfailed=1)
