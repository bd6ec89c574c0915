"""Run a command on a PostgreSQL of its own, whose URL follows the arguments: python -m clusters dibs storm --db."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from clusters.cluster import Cluster

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder) / "server", max_connections=300) as server:
        sys.exit(subprocess.run([*sys.argv[1:], server.url()], check=False).returncode)
