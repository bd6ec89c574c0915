"""A file is replaced completely or not at all when its writer is killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

WRITER = """
import sys
from pathlib import Path
from dibs.registration.change import Change
from dibs.registration.clients import CLIENTS
from dibs.registration.change import write
file = Path(sys.argv[1])
texts = [letter * 200_000 for letter in "ab"]
print("ready", flush=True)
while True:
    for before, after in (texts, texts[::-1]):
        write(Change(CLIENTS["claude"], file, before, after, None))
"""


def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """After kills at ten random moments the file is never incomplete."""
    file = tmp_path / ".mcp.json"
    texts = ["a" * 200_000, "b" * 200_000]
    for _ in range(10):
        file.write_text(texts[0])
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(random.uniform(0.01, 0.05))
        writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL, "it was still writing"
        writer.stdout.close()
        assert file.read_text() in texts
