"""`python -m bench.tokens`: what a server's definitions take of an agent's context, and the answers of a whole build."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import backlog
from bench.driver import Server, dibs
from dibs_schema.roles import Role

BEGIN, END = "<!-- python -m bench.tokens -->\n", "<!-- end -->\n"

BUDGETS = {"coder": 7_500, "all": 20_000}
"""Bytes that the definitions of a role may take, without output schemas."""
BUILD_BUDGET = 60_000
"""Bytes of answers, beside the features' own text, that a build of so many features may take."""
FEATURES = 200
OWN = ("name", "category", "description", "steps")
"""The parts of a claimed feature that its planner wrote."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Bytes that something takes, and the budget for it, if it has one; `whole` is with output schemas, too."""

    what: str
    count: str
    size: int
    budget: int | None = None
    whole: int | None = None

    @property
    def missed(self) -> bool:
        """Whether it takes more than it may."""
        return self.budget is not None and self.size > self.budget

    def cells(self) -> tuple[str, ...]:
        """The cells of the table's row."""
        bound = "" if self.budget is None else f"{self.budget:,}"
        whole = "" if self.whole is None else f"{self.whole:,}"
        return self.what, self.count, f"{self.size:,}", bound, whole


def octets(data: Any) -> int:
    """Bytes of a JSON value as it goes over the wire: compact, in UTF-8."""
    return len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())


def definitions(command: list[str], what: str, budget: int | None = None) -> Spent:
    """The definitions of the tools that a server lists; the budget is for them without output schemas."""
    with Server(command) as server:
        server.initialize()
        tools: list[dict[str, Any]] = []
        asked: dict[str, Any] = {}
        while True:
            page = server.request("tools/list", asked).answer
            tools += page["tools"]
            if not page.get("nextCursor"):
                break
            asked = {"cursor": page["nextCursor"]}
    told = [{key: tool[key] for key in tool if key != "outputSchema"} for tool in tools]
    return Spent(f"definitions, {what}", f"{len(tools)} tools", octets(told), budget, octets(tools))


def by_role(folder: Path) -> Iterable[Spent]:
    """The definitions that each role is told."""
    for role in Role:
        command = [*dibs(folder / "roles.db"), "--role", role.value]
        yield definitions(command, f"`--role {role.value}`", BUDGETS.get(role.value))


def instructions(folder: Path) -> Spent:
    """What a server says of itself when it is greeted, but for the path of its database."""
    path = folder / "roles.db"
    with Server(dibs(path)) as server:
        told = server.initialize().answer["instructions"].replace(str(path), "")
    return Spent("server instructions", "", len(told.encode()), 2_000)


def build(folder: Path) -> Iterable[Spent]:
    """One agent claims each feature, leaves a note, and passes it; its answers, in the channel that it reads."""
    path = backlog.make(folder / "build.db", FEATURES)
    spent = dict.fromkeys(("claim", "note", "pass"), 0)
    with Server(dibs(path)) as server:
        server.initialize()
        for number in range(FEATURES):
            claimed = _told(server, "feature_claim_and_get", {})
            feature = claimed["feature"]
            held = {"feature_id": feature["id"], "claim_token": claimed["claim"]["token"]}
            note = {
                "feature_id": feature["id"],
                "text": f"The form is in views/{number}.py, its test beside it.",
            }
            noted = _told(server, "feature_add_note", note)
            evidence = {"summary": "Seen in the browser, as described", "commands": _RUN}
            passed = _told(server, "feature_mark_passing", held | {"evidence": evidence})
            spent["claim"] += octets(claimed) - sum(octets(feature[part]) for part in OWN)
            spent["note"] += octets(noted)
            spent["pass"] += octets(passed)
        last = octets(_told(server, "feature_claim_and_get", {}))
    for what, size in spent.items():
        yield Spent(f"answers to {FEATURES} calls: {what}", f"{FEATURES} features", size)
    yield Spent("the whole build", f"{FEATURES} features", sum(spent.values()) + last, BUILD_BUDGET)


_RUN = [{"command": "pytest", "exit_code": 0}]


def _told(server: Server, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    answer = server.call(tool, arguments).answer
    assert json.loads(answer["content"][0]["text"]) == answer["structuredContent"], (
        "both channels say the same"
    )
    told: dict[str, Any] = answer["structuredContent"]
    return told


def table(rows: Iterable[Spent]) -> str:
    """The rows as Markdown."""
    lines = ["| | of | bytes | at most | with output schemas |", "|---|---|--:|--:|--:|"]
    return "\n".join([*lines, *("| " + " | ".join(one.cells()) + " |" for one in rows)])


def measure(folder: Path) -> list[Spent]:
    """Everything of ours."""
    return [*by_role(folder), instructions(folder), *build(folder)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the status is 1 where a budget is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.tokens", description=__doc__)
    parser.add_argument("--markdown", type=Path, help="put the table between the marks of this page")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="count another server's definitions, too; {folder} becomes an empty folder (never written to the page)",
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="dibs-tokens-") as folder:
        rows = measure(Path(folder))
        peers = [_peer(Path(folder), *one.split("=", 1)) for one in options.peer]
    print(table([*rows, *peers]))
    if options.markdown:
        before, begin, rest = options.markdown.read_text(encoding="utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        options.markdown.write_text(f"{before}{begin}\n{table(rows)}\n\n{end}{after}", encoding="utf-8")
    return 1 if any(one.missed for one in rows) else 0


def _peer(folder: Path, name: str, command: str) -> Spent:
    (own := folder / name).mkdir()
    return definitions(shlex.split(command.replace("{folder}", str(own))), name)


if __name__ == "__main__":
    sys.exit(main())
