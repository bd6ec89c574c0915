"""`dibs demo` as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.demo_run import small_backlog

pytestmark = pytest.mark.only_on("sqlite", reason="the demo makes a file of its own")

COMMAND = [sys.executable, "-m", "dibs", "demo"]


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    """Run the command without a terminal."""
    return subprocess.run([*COMMAND, *flags], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_example_drains_and_every_step_is_printed(tmp_path: Path) -> None:
    """Without a terminal the demo prints plain lines: what will be seen, the kill, the take-over, the verdict."""
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert "You will see 8 agents" in lines[0]
    assert "backlog of 64 features" in lines[0]
    for word in ("KILLED", "TAKEN OVER", "REFUSED", "IT HOLDS"):
        assert sum(word in line for line in lines) == 1, word


def test_json_is_the_only_thing_on_standard_output(tmp_path: Path) -> None:
    """With --json the figures are one JSON document, and everything else goes to standard error."""
    done = run("--json", "--agents", "2", "--features", str(small_backlog(tmp_path)))
    answer = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert answer["holds"] is True
    assert (answer["features"], answer["double_claims"], answer["lost_acknowledgements"]) == (16, 0, 0)
    assert answer["take_overs"] >= 1
    assert answer["checks"]["nothing_lost"]["checked"] > 0
    assert "TAKEN OVER" in done.stderr


def test_the_database_is_made_at_the_given_path_and_never_over_another(tmp_path: Path) -> None:
    """--db places and keeps the database; an existing database is refused and stays unchanged."""
    place = tmp_path / "kept.db"
    flags = ["--agents", "2", "--features", str(small_backlog(tmp_path, count=2)), "--db", str(place)]
    first = run(*flags)
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.rstrip().endswith(str(place))
    before = place.read_bytes()
    second = run(*flags)
    assert second.returncode == 2
    assert "exists already" in second.stderr
    assert place.read_bytes() == before


def test_a_server_that_does_not_start_stops_the_demo_early() -> None:
    """The end of the servers' log is printed, and the exit status is 1."""
    environment = {**os.environ, "DIBS_LEASSE": "9"}  # an unknown setting, which every server refuses
    command = [*COMMAND, "--agents", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert "STOPPED EARLY" in done.stdout
    assert "DIBS_LEASSE is not a setting" in done.stdout


def test_a_terminal_shows_a_table_that_is_redrawn(tmp_path: Path) -> None:
    """On a terminal every agent has a line that is redrawn, and the verdict stays."""
    shown = on_a_terminal("--agents", "2", "--features", str(small_backlog(tmp_path, count=4)))
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert shown.count("\x1b[2K") > 10
    assert plain.count("agent-1") > 10
    assert "helps them" in plain
    assert "IT HOLDS" in plain


def on_a_terminal(*flags: str) -> str:
    """Return what the command shows on a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    size = {"COLUMNS": "100", "LINES": "40", "TERM": "xterm-256color"}
    process = subprocess.Popen([*COMMAND, *flags], stdout=theirs, stdin=theirs, env={**os.environ, **size})
    os.close(theirs)
    shown = bytearray()
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # on Linux, reading a terminal without users fails with EIO
        pass
    os.close(ours)
    assert process.wait() == 0
    return shown.decode()


def test_an_interrupt_leaves_no_server_and_no_folder_behind(tmp_path: Path) -> None:
    """Ctrl-C ends the servers and removes the temporary folder."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [*COMMAND, "--agents", "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    while not children(process.pid):
        assert process.poll() is None
        time.sleep(0.05)
    servers = children(process.pid)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) != 0
    assert not [pid for pid in servers if Path(f"/proc/{pid}").exists()]
    assert list(tmp_path.iterdir()) == []


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
