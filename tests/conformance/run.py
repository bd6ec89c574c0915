"""Run the conformance suite and the Inspector against real servers over HTTP: `make conformance`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from listening import SERVER, Listening

HERE = Path(__file__).parent
FOLDER = HERE.parent.parent / ".venv" / "conformance"
SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"
NODE = "node@22"
REVISIONS = ("2025-11-25", "2026-07-28")
BASELINE = HERE / "baseline.yml"
LONGEST = 600
"""Seconds that a fetch from npm, or one run of the suite, may take."""


class Skipped(Exception):  # noqa: N818 - it says what happened
    """The programs cannot be fetched here."""


def fetched() -> Path:
    """Return the folder of the programs, and fetch missing ones from npm. Raises Skipped."""
    programs = FOLDER / "node_modules" / ".bin"
    stamp = FOLDER / "fetched"
    wanted = f"{SUITE} {INSPECTOR} {NODE}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return programs
    npm = shutil.which("npm")
    if npm is None:
        raise Skipped("there is no npm")
    there = _npm(npm, "view", SUITE, "version")
    if there.returncode:
        errors = [line for line in there.stderr.splitlines() if line.startswith("npm error")]
        raise Skipped(f"npm is not reachable: {errors[0] if errors else there.stderr}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    got = _npm(npm, "install", "--prefix", str(FOLDER), "--no-audit", "--no-fund", "--no-save", *wanted.split())
    if got.returncode:
        raise SystemExit(f"npm install failed:\n{got.stderr}")
    stamp.write_text(wanted, encoding="utf-8")
    return programs


def _npm(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST)


@contextmanager
def server(name: str, command: list[str]) -> Iterator[Listening]:
    """Run a server on its own database during the block."""
    os.environ["DIBS_TEST_FRESH"] = "1"  # as users start it
    with tempfile.TemporaryDirectory(prefix="dibs-conformance-") as folder:
        one = Listening([*command, str(Path(folder) / f"{name}.db")])
        try:
            yield one
        finally:
            one.end()
            one.close()


def suite(programs: Path, url: str, revision: str, *flags: str) -> str | None:
    """Run the scenarios that a revision requires, and return the faults as text, or None."""
    command = [str(programs / "conformance"), "server", "--url", url, "--requirements", revision, *flags]
    done = program(programs, command)
    _, _, summary = done.stdout.partition("=== SUMMARY ===")
    marks = re.findall(r"^([✓✗]) (\S+):", summary, re.MULTILINE)
    required = [(mark, name) for mark, name in marks if name in scenarios(revision)]
    passed = sum(mark == "✓" for mark, _ in required)
    sys.stdout.write(
        f"  {revision}: {passed} of {len(required)} required scenarios pass, exit status {done.returncode}\n"
    )
    return None if done.returncode == 0 and required else summary + done.stderr


def scenarios(revision: str) -> list[str]:
    """Return the scenarios that a revision requires of a server. The suite also runs others, which do not count."""
    package = FOLDER / "node_modules" / "@modelcontextprotocol" / "conformance"
    listed = (package / "requirements" / f"{revision}.yaml").read_text(encoding="utf-8")
    ours = re.search(r"^server:\n((?:  - \S+\n)+)", listed, re.MULTILINE)
    assert ours is not None, listed[:500]
    return re.findall(r"- (\S+)", ours[1])


def strict_tools(programs: Path, url: str, era: str) -> str | None:
    """Let the Inspector check the tools' schemas, and return its findings, or None."""
    flags = ["--cli", url, "--transport", "http", "--protocol-era", era]
    done = program(programs, [str(programs / "mcp-inspector"), *flags, "--method", "tools/list", "--strict"])
    found = done.stderr.strip() or ("" if '"feature_claim_and_get"' in done.stdout else "no tools were listed")
    sys.stdout.write(f"  inspector, {era}: {found or 'no findings'}, exit status {done.returncode}\n")
    return None if done.returncode == 0 and not found else found or done.stdout


def program(programs: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run one of the fetched programs on a version of node that is new enough."""
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"  # its node first: the Inspector wants 22 or newer
    return subprocess.run(
        command,
        env=os.environ | {"PATH": path},
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST,
    )


def main() -> int:
    """Test the product's server and the test application; the exit status is 0 if both are as required."""
    try:
        programs = fetched()
    except Skipped as skipped:
        sys.stdout.write(f"conformance was skipped: {skipped}\n")
        return 0
    wrong: list[str | None] = []
    sys.stdout.write("dibs serve --http, but for its baseline\n")
    with server("product", [*SERVER, "--db"]) as product:
        wrong += [suite(programs, product.url, one, "--expected-failures", str(BASELINE)) for one in REVISIONS]
        wrong += [strict_tools(programs, product.url, era) for era in ("legacy", "modern")]
    sys.stdout.write("the same server with the suite's fixtures\n")
    with server("app", [sys.executable, "-m", "conformance.app"]) as app:
        wrong += [suite(programs, app.url, one) for one in REVISIONS]
    for one in wrong:
        sys.stdout.write(one or "")
    return 1 if any(one is not None for one in wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
