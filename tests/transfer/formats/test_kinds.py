"""Each kind of file that another tool writes: the files of `kinds/KIND`, and the right result beside them.

`expected.json` has what to import (`path`), the options, and the backlog without what has its default value.
`DIBS_TEST_RENEW=1` writes the backlog; read the difference before you commit it.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from dibs.transfer.formats import Backlog, ReadOptions, read_backlog
from dibs_schema.lenient_input import is_empty

KINDS = Path(__file__).parent / "kinds"
CASES = sorted(KINDS.glob("*/expected*.json"))


def shown(backlog: Backlog) -> dict[str, Any]:
    """Return the backlog as JSON has it, without empty values."""
    found = json.loads(json.dumps(asdict(backlog)))
    found["features"] = [
        {name: value for name, value in one.items() if not is_empty(value)} for one in found["features"]
    ]
    return {name: value for name, value in found.items() if not is_empty(value)}


@pytest.mark.parametrize("case", CASES, ids=[f"{one.parent.name} {one.stem}" for one in CASES])
def test_a_kind_of_file_becomes_the_backlog_beside_it(case: Path, tmp_path: Path) -> None:
    """References, names, categories, states, dependencies, steps, notes, order and the report are as expected."""
    given = json.loads(case.read_text(encoding="utf-8"))
    folder = shutil.copytree(case.parent, tmp_path / case.parent.name)
    for script in folder.glob("*.sql"):
        with closing(sqlite3.connect(script.with_suffix(".db"))) as connection:
            connection.executescript(script.read_text(encoding="utf-8"))
    found = shown(read_backlog(folder / given["path"], sqlite3, ReadOptions(**given.get("options", {}))))
    if os.environ.get("DIBS_TEST_RENEW"):
        case.write_text(json.dumps({**given, "backlog": found}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    assert found == given["backlog"]


def test_every_kind_has_its_result() -> None:
    """No folder of `kinds` is without a result."""
    assert {one.parent for one in CASES} == {*KINDS.iterdir()}
