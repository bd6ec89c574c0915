"""A server whose package is replaced or removed, as an upgrade does it, goes on with the code that it has loaded."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dibs.database import Database
from races.backlog import fill, row
from races.servers import StartServer

ROOT = Path(__file__).parents[2]
COPY = shutil.ignore_patterns("__pycache__")
REQUESTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("tools/list", {}),
    ("prompts/list", {}),
    ("prompts/get", {"name": "work_next"}),
    ("resources/list", {}),
    ("resources/templates/list", {}),
    ("resources/read", {"uri": "features://graph"}),
    ("resources/read", {"uri": "features://events"}),
    ("resources/subscribe", {"uri": "features://stats"}),
    (
        "completion/complete",
        {"ref": {"type": "ref/resource", "uri": "feature://{id}"}, "argument": {"name": "id", "value": ""}},
    ),
)


def replace(site: Path) -> None:
    """Put another version in place of the packages, which does not know this one's modules."""
    for file in site.rglob("*.py"):
        file.write_text("raise ImportError('this is another version')\n")


@pytest.mark.parametrize("change", [replace, shutil.rmtree])
@pytest.mark.parametrize("number", [None, signal.SIGTERM])
def test_a_server_outlives_its_package(
    database: Database,
    start: StartServer,
    tmp_path: Path,
    change: Callable[[Path], None],
    number: signal.Signals | None,
) -> None:
    """Every kind of request is answered, the end is clean and silent, and the claim is released."""
    fill(database, 2)
    site = tmp_path / "site"
    shutil.copytree(ROOT / "server" / "dibs", site / "dibs", ignore=COPY)
    shutil.copytree(ROOT / "schema" / "dibs_schema", site / "dibs_schema", ignore=COPY)
    server = start(PYTHONPATH=str(site), PYTHONDONTWRITEBYTECODE="1").ready()
    claimed = server.call("feature_claim_and_get")["feature"]["id"]
    change(site)
    for method, params in REQUESTS:
        answer = server.message(server.ask(method, **params))
        assert "error" not in answer, (method, answer)
    server.call("feature_heartbeat", feature_id=claimed, note="still here")
    assert server.refusal("feature_get_by_id", feature_id=99) is not None
    if number is None:
        server.hang_up()
    else:
        server.kill(number)
    assert server.status() == 0
    assert server.log() == ""
    assert (row(database, claimed)["status"], row(database, claimed)["attempts"]) == ("pending", 0)
