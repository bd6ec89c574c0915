"""TOML is changed in one table, and stays unchanged elsewhere."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from dibs.registration import toml
from dibs.registration.errors import Unreadable

KEYS = ("mcp_servers", "features")
ENTRY = {"command": "dibs-mcp", "args": ["--role", "coder"], "env": {"DIBS_ROLE": "all"}}
FILE = """# how I like it
model = "gpt-5"   # the good one

[mcp_servers.docs]
command = "npx"   # fetched
args = ["-y", "docs"]

[mcp_servers.docs.env]
KEY = "1"

[profiles."of mine"]
# not yet
approval = 'never'
"""

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
values = st.recursive(
    st.booleans() | st.integers(-(2**40), 2**40) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(texts, values, max_size=4), st.none() | st.dictionaries(texts, values, max_size=3))
def test_everything_else_in_any_file_is_kept(data: dict[str, Any], section: dict[str, Any] | None) -> None:
    """Every file keeps its data, and the entry is appended to the same bytes."""
    data |= {} if section is None else {"mcp_servers": section}
    before = tomlkit.dumps(data)
    after = toml.with_value(before, KEYS, ENTRY)
    assert tomllib.loads(after) == data | {"mcp_servers": data.get("mcp_servers", {}) | {"features": ENTRY}}
    assert after.startswith(before)
    assert tomllib.loads(toml.without(after, KEYS)) in (data, data | {"mcp_servers": {}})


def test_a_new_entry_is_appended() -> None:
    """The file stays unchanged, and the table is appended."""
    after = toml.with_value(FILE, KEYS, ENTRY)
    assert after == (
        f'{FILE}\n[mcp_servers.features]\ncommand = "dibs-mcp"\nargs = ["--role", "coder"]\n'
        'env = {DIBS_ROLE = "all"}\n'
    )
    assert toml.without(after, KEYS) == FILE


def test_an_entry_is_changed_key_by_key() -> None:
    """A user's own keys and comments in the table stay, and so does the rest of the file."""
    ours = '[mcp_servers.features]\ncommand = "old" # mine\nstartup_timeout_sec = 20 # slow\ncwd = "\\u0061"\n\n'
    before = FILE.replace("[profiles", f"{ours}[profiles")
    after = toml.with_value(before, KEYS, {"command": "dibs-mcp", "startup_timeout_sec": 20, "cwd": "a"})
    assert after == before.replace('"old"', '"dibs-mcp"')
    assert toml.without(after, KEYS) == FILE


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "before",
    [
        'mcp_servers = { docs = { command = "npx" } } # short\nmodel = "gpt-5"\n',
        'mcp_servers.docs.command = "npx"\nmodel = "gpt-5"\n',
        '[mcp_servers]\ndocs = { command = "npx" }\n\n[model]\nname = "gpt-5"',
        '[mcp_servers.features.env]\nDIBS_LEASE = "60"\n\n[mcp_servers.features]\ncommand = "x"\n',
        '[mcp_servers]\n[mcp_servers.features]\n# mine\ncommand = "x"\n[other]\na = 1\n',
    ],
)
def test_every_way_to_write_the_section_is_changed_or_refused(before: str, newline: str) -> None:
    """Inline, dotted and split tables keep their data and line ends, and get the entry."""
    before = before.replace("\n", newline)
    data = tomllib.loads(before)
    after = toml.with_value(before, KEYS, ENTRY)
    assert tomllib.loads(after) == data | {"mcp_servers": data["mcp_servers"] | {"features": ENTRY}}
    assert ("\r\n" in after) == (newline == "\r\n")
    assert after.replace("\r\n", "").count("\r") == 0
    data["mcp_servers"].pop("features", None)
    gone = tomllib.loads(toml.without(after, KEYS))
    assert {"mcp_servers": {}} | gone == data


def test_what_is_no_toml_is_refused_with_its_place() -> None:
    """The error for a broken file has line and column."""
    with pytest.raises(Unreadable, match="line 2"):
        toml.parse('a = 1\nb = "\n')
    with pytest.raises(Unreadable, match="mcp_servers is not a table"):
        toml.with_value("mcp_servers = 1\n", KEYS, ENTRY)
