"""`dibs serve --http --board`: the page and the MCP clients at one port, each with its own way in."""

from __future__ import annotations

import re
import subprocess
import sys

import httpx2
import pytest

from board.people import LATEST
from dibs.database import Database
from dibs.queries.get import get_by_id
from dibs_schema.status import Status
from verbs.stage import place

SERVE = [sys.executable, "-m", "dibs", "serve"]


@pytest.mark.parametrize(("role", "status"), [("all", "pending"), ("coder", "pending"), ("viewer", "stuck")])
def test_a_page_beside_the_clients(board_db: str, database: Database, role: str, status: str) -> None:
    """A person acts there whatever the clients' role, unless all may only look. Signals end both, with status 0."""
    stuck = place(database, Status.STUCK).id
    command = [*SERVE, "--db", board_db, "--http", "0", "--board", "--role", role]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        said = server.stderr.readline() + server.stderr.readline()
        key = re.search(r"the board is at (http://(\S+)/\?key=\S+)", said)
        assert key is not None, said
        origin = f"http://{key[2]}"
        with httpx2.Client(base_url=origin, timeout=LATEST) as person:
            assert person.get("/").status_code == 403
            person.get(key[1])
            assert 'id="needs-you"' in person.get("/").text
            person.post("/do/retry", data={"feature": str(stuck), "back": "/"}, headers={"origin": origin})
            assert person.get("/mcp").status_code not in {403, 404}
        assert database.read_now(lambda tx: get_by_id(tx, stuck)).status == status
        server.terminate()
        assert server.wait(timeout=LATEST) == 0


def test_a_page_needs_http() -> None:
    """Over stdio there is no port for it."""
    ended = subprocess.run([*SERVE, "--board"], capture_output=True, text=True, timeout=LATEST, check=False)
    assert (ended.returncode, "--http" in ended.stderr) == (2, True)
