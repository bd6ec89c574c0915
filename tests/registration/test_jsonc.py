"""JSON with comments is changed in one place, and stays unchanged elsewhere."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dibs.registration import jsonc
from dibs.registration.errors import Unreadable

KEYS = ("mcpServers", "features")
ENTRY = {"command": "dibs-mcp", "args": ["--role", "coder"], "env": {"DIBS_ROLE": "all"}}
LONG = 20 if os.environ.get("DIBS_TEST_LONG") else 1

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
servers = st.dictionaries(texts | st.just("features"), values, max_size=3)
configs = st.builds(
    lambda data, section: data | ({} if section is None else {"mcpServers": section}),
    st.dictionaries(texts, values, max_size=4),
    st.none() | servers,
)
GAPS = ("", " ", "\n", "\n    ", "\r\n\t", ' // "a" {,\n', "/* } */", " /* two,\n lines */ ")


@st.composite
def written(draw: st.DrawFn, data: Any) -> str:
    """Return the data as a person might write it: with random spaces, line ends, comments and trailing commas."""

    def gap() -> str:
        return draw(st.sampled_from(GAPS))

    def one(value: Any) -> str:
        if not isinstance(value, dict | list) or not value:
            return json.dumps(value, ensure_ascii=draw(st.booleans()))
        pairs = (
            [f"{json.dumps(key)}{gap()}:{gap()}{one(item)}" for key, item in value.items()]
            if isinstance(value, dict)
            else [one(item) for item in value]
        )
        inside = f"{gap()},{gap()}".join(pairs) + gap() + draw(st.sampled_from(["", ","])) + gap()
        return f"{{{gap()}{inside}}}" if isinstance(value, dict) else f"[{gap()}{inside}]"

    return gap() + one(data) + gap()


def comments(text: str) -> list[str]:
    """Return the comments in a JSON document, in order."""
    found = re.finditer(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', text, re.DOTALL)
    return [one[0].rstrip("\r") for one in found if one[0][0] == "/"]


def wanted(data: dict[str, Any]) -> dict[str, Any]:
    """Return the data with the entry."""
    return data | {"mcpServers": data.get("mcpServers", {}) | {"features": ENTRY}}


@settings(max_examples=60 * LONG, deadline=None)
@given(st.data(), configs)
def test_everything_else_in_any_object_is_kept(drawn: st.DataObject, data: dict[str, Any]) -> None:
    """Every file keeps its data and comments, and gets the entry."""
    before = drawn.draw(written(data))
    assert jsonc.parse(before) == data
    after = jsonc.with_value(before, KEYS, ENTRY)
    assert jsonc.parse(after) == wanted(data)
    if "features" not in data.get("mcpServers", {}):
        assert sorted(comments(after)) == sorted(comments(before))
    gone = jsonc.without(after, KEYS)
    assert jsonc.parse(gone) == data | {
        "mcpServers": {key: one for key, one in data.get("mcpServers", {}).items() if key != "features"}
    }


@settings(max_examples=40 * LONG, deadline=None)
@given(configs, st.sampled_from([None, 2, 4, "\t"]), st.sampled_from(["\n", "\r\n"]))
def test_an_entry_that_is_taken_out_again_leaves_the_bytes_of_before(
    data: dict[str, Any], indent: int | str | None, newline: str
) -> None:
    """Adding and removing an entry restores the same bytes, and the entry follows the file's format."""
    data = {"mcpServers": {"other": {"command": "x"}}} | data
    data["mcpServers"].pop("features", None)
    before = json.dumps(data, indent=indent, ensure_ascii=False).replace("\n", newline) + newline
    after = jsonc.with_value(before, KEYS, ENTRY)
    assert jsonc.without(after, KEYS) == before
    assert json.loads(after) == wanted(data)
    assert after == json.dumps(wanted(data), indent=indent, ensure_ascii=False).replace("\n", newline) + newline


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("", '{\n  "a": {\n    "b": 1\n  }\n}\n', id="no text"),
        pytest.param("// mine\n", '// mine\n{\n  "a": {\n    "b": 1\n  }\n}\n', id="a comment alone"),
        pytest.param("{}\n", '{\n  "a": {\n    "b": 1\n  }\n}\n', id="an empty object"),
        pytest.param('{"x": 1}', '{"x": 1, "a": {"b": 1}}', id="one line"),
        pytest.param(
            '{\n\t"a": {\n\t\t"c": 2, // two\n\t},\n}\n',
            '{\n\t"a": {\n\t\t"c": 2, // two\n\t\t"b": 1,\n\t},\n}\n',
            id="tabs and trailing commas",
        ),
        pytest.param(
            '{\n    "a": {\n        "c": 2 // two\n    }\n}\n',
            '{\n    "a": {\n        "c": 2, // two\n        "b": 1\n    }\n}\n',
            id="a comment behind the last value",
        ),
        pytest.param(
            '{\n  "a": {\n    // "b": 0\n  }\n}\n',
            '{\n  "a": {\n    "b": 1\n    // "b": 0\n  }\n}\n',
            id="a comment where an entry could be",
        ),
        pytest.param('\ufeff{"a": {"b": 0}}', '\ufeff{"a": {"b": 1}}', id="a byte order mark"),
        pytest.param('{"a": {"b": 0}, "a": {"b": 0}}', '{"a": {"b": 0}, "a": {"b": 1}}', id="a name twice"),
    ],
)
def test_a_value_comes_where_a_person_would_put_it(before: str, after: str) -> None:
    """The new value follows the last value, with the file's own indent and line ends."""
    assert jsonc.with_value(before, ("a", "b"), 1) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            '{\n  "a": {\n    "b": 1, // one\n    "c": 2 // two\n  }\n}\n',
            '{\n  "a": {\n    // one\n    "c": 2 // two\n  }\n}\n',
        ),
        ('{\n  "a": {\n    "c": 2, // two\n    "b": 1\n  }\n}\n', '{\n  "a": {\n    "c": 2 // two\n  }\n}\n'),
        ('{"a": {"b": 1}}', '{"a": {}}'),
        ('{"a": {"b": 1, "c": 2}}', '{"a": {"c": 2}}'),
        ('{"a": {"c": 2}}', '{"a": {"c": 2}}'),
        ("", ""),
    ],
)
def test_taking_out_leaves_comments_and_neighbours(before: str, after: str) -> None:
    """A value is removed with its comma and line; everything around it stays."""
    assert jsonc.without(before, ("a", "b")) == after


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3"),
        ('{\n  /* one\n  two */ "a": x\n}', "line 3, column 15"),
        ('{"a": 1', "line 1, column 8"),
        ("[1]", "not an object"),
        ("{,}", "line 1, column 2"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": /* open }', "line 1, column 7"),
        ("[" * 100_000, "depth"),
        ('{"a": ' + "1" * 5_000 + "}", "digits"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(text: str, words: str) -> None:
    """The error for a broken file has line and column."""
    with pytest.raises(Unreadable) as refused:
        jsonc.parse(text)
    assert words in str(refused.value) or (words == "depth" and "recursion" in str(refused.value))


def test_plain_json_has_nothing_that_a_plain_reader_refuses() -> None:
    """Comment signs and commas inside strings, and a byte order mark, are handled."""
    plain = '\ufeff{"a": "// \ufeff /* x */ ,]", "b": [1, 2]}'
    jsonc.refuse_extras(plain, "any", comments=False, trailing_commas=False)
    with pytest.raises(Unreadable, match="line 1, column 2: any accepts no comments"):
        jsonc.refuse_extras(plain.replace("{", "/**/{"), "any", comments=False, trailing_commas=True)
