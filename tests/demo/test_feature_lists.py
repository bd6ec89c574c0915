"""The demo drains backlogs of other tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from races.backlog import long_form

DEFAULT = Path(__file__).parents[3] / "shared" / "data" / "feature_lists"
LISTS = Path(os.environ.get("DIBS_TEST_FEATURE_LISTS", DEFAULT))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "agents", "features", "open_"),
    [
        ("autocoder_style.json", 3, 10, 2),
        ("ledger_style.json", 2, 5, 0),
        pytest.param("string_ids.json", 8, 516, 362, marks=long_form),
    ],
)
def test_a_feature_list_of_another_tool_is_drained(name: str, agents: int, features: int, open_: int) -> None:
    """The agents finish what is open in the file, and every promise holds."""
    file = LISTS / name
    if not file.exists():
        pytest.skip(f"{file} is not on this machine; DIBS_TEST_FEATURE_LISTS names the folder of such files")
    done = subprocess.run(
        [sys.executable, "-m", "dibs", "demo", "--json", "--agents", str(agents), "--features", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["holds"] is True
    assert (answer["features"], answer["passed"]) == (features, open_)
    assert answer["take_overs"] >= bool(open_)
