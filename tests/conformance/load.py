"""Load a real server with the Inspector, and print the figures as a table: `make load`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from conformance.run import Skipped, fetched, program, server
from listening import SERVER, Caller

CALLS = 500
AT_ONCE = 10
FEATURES = 1000
NEW = {"category": "load", "description": "d", "steps": ["s"]}
TOOLS: dict[str, list[str]] = {
    "feature_get_stats": [],
    "feature_claim_and_get": [],
    "feature_add_note": ["--tool-arg", "feature_id=1", "text=seen"],
}


def load(programs: Path, target: list[str], tool: str) -> dict[str, Any]:
    """Return the Inspector's summary of many calls of one tool. Raises SystemExit if a call failed."""
    bounds = ["--load", "--load-requests", str(CALLS), "--load-concurrency", str(AT_ONCE)]
    flags = ["--protocol-era", "modern", "--method", "tools/call", "--tool-name", tool, *TOOLS[tool], *bounds]
    done = program(programs, [str(programs / "mcp-inspector"), "--cli", *target, *flags])
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    summary: dict[str, Any] = json.loads(done.stdout)
    if summary["ok"] != CALLS:
        raise SystemExit(done.stdout)
    return summary


def main() -> None:
    """Print a row for each tool over HTTP, and over stdio on the same database."""
    try:
        programs = fetched()
    except Skipped as skipped:
        sys.stdout.write(f"the load test was skipped: {skipped}\n")
        return
    sys.stdout.write("| tool | over | calls a second | median ms | p99 ms |\n|---|---|---|---|---|\n")
    with server("load", [*SERVER, "--db"]) as one:
        caller = Caller(one.url)
        caller.call("feature_create_bulk", features=[{"name": f"f{n}", **NEW} for n in range(FEATURES)])
        path = caller.call("feature_get_stats")["database"]
        caller.close()
        stdio = [sys.executable, "-m", "dibs", "serve", "--db", path]
        for over, target, tools in (
            ("HTTP", [one.url, "--transport", "http"], list(TOOLS)),
            ("stdio", stdio, ["feature_get_stats", "feature_add_note"]),
        ):
            for tool in tools:
                told = load(programs, target, tool)
                late = told["latencyMs"]
                sys.stdout.write(
                    f"| `{tool}` | {over} | {told['throughput']:.0f} | {late['p50']:.1f} | {late['p99']:.1f} |\n"
                )


if __name__ == "__main__":
    main()
