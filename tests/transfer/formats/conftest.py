"""Fixtures for the tests of formats: files that are written for one test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dibs.transfer.formats import Backlog, ImportedFeature, read_backlog
from dibs_schema.refusals import InvalidInput

Read = Callable[[Any], Backlog]
Refused = Callable[[Any], InvalidInput]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write a document to a file, as JSON unless it is bytes, and read it as a backlog."""

    def write_and_read(document: Any) -> Backlog:
        path = tmp_path / "backlog.json"
        path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
        return read_backlog(path)

    return write_and_read


@pytest.fixture
def one(read: Read) -> Callable[..., ImportedFeature]:
    """Read a file with one feature of the given fields, named F unless it has a name."""

    def read_one(**fields: Any) -> ImportedFeature:
        (feature,) = read([{"name": "F"} | fields]).features
        return feature

    return read_one


@pytest.fixture
def refused(read: Read) -> Refused:
    """Read a file that must be refused, and return the refusal."""

    def read_and_catch(document: Any) -> InvalidInput:
        with pytest.raises(InvalidInput) as caught:
            read(document)
        message = caught.value.message
        assert "backlog.json: " in message
        assert message.endswith(" Nothing was imported.")
        return caught.value

    return read_and_catch
