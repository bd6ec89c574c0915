"""`python -m bench.tokens`: the context budget of a server's definitions, and of the answers of a whole build."""

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

from bench import backlogs
from bench.driver import Server, dibs
from dibs_schema.roles import Role

BEGIN, END = "<!-- python -m bench.tokens -->\n", "<!-- end -->\n"

BUDGETS = {"coder": 7_500, "all": 20_000}
"""Most bytes of a role's definitions, without output schemas."""
PLUGIN = Path(__file__).parents[1] / "plugin"
BUILD_BUDGET = 60_000
"""Most bytes of the answers in a build of `FEATURES` features, without the features' own text."""
FEATURES = 200
OWN = ("name", "category", "description", "steps")
"""The fields of a claimed feature that its planner wrote."""


@dataclass(frozen=True, slots=True)
class Spent:
    """The size of something in bytes, and its budget if it has one; `whole` includes output schemas."""

    what: str
    count: str
    size: int
    budget: int | None = None
    whole: int | None = None

    @property
    def missed(self) -> bool:
        """Return whether the size exceeds the budget."""
        return self.budget is not None and self.size > self.budget

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the table's row."""
        bound = "" if self.budget is None else f"{self.budget:,}"
        whole = "" if self.whole is None else f"{self.whole:,}"
        return self.what, self.count, f"{self.size:,}", bound, whole


def octets(data: Any) -> int:
    """Return the bytes of a JSON value as it is sent: compact, in UTF-8."""
    return len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())


def definitions(command: list[str], what: str, budget: int | None = None) -> Spent:
    """Return the size of the tool definitions that a server lists; the budget excludes output schemas."""
    with Server(command) as server:
        server.initialize()
        tools: list[dict[str, Any]] = []
        params: dict[str, Any] = {}
        while True:
            page = server.request("tools/list", params).answer
            tools += page["tools"]
            if not page.get("nextCursor"):
                break
            params = {"cursor": page["nextCursor"]}
    without = [{key: tool[key] for key in tool if key != "outputSchema"} for tool in tools]
    return Spent(f"definitions, {what}", f"{len(tools)} tools", octets(without), budget, octets(tools))


def by_role(folder: Path) -> Iterable[Spent]:
    """Return the size of the definitions for each role."""
    for role in Role:
        command = [*dibs(folder / "roles.db"), "--role", role.value]
        yield definitions(command, f"`--role {role.value}`", BUDGETS.get(role.value))


def instructions(folder: Path) -> Spent:
    """Return the size of the server instructions, without the path of the database."""
    path = folder / "roles.db"
    with Server(dibs(path)) as server:
        text = server.initialize().answer["instructions"].replace(str(path), "")
    return Spent("server instructions", "", len(text.encode()), 2_000)


def build(folder: Path) -> Iterable[Spent]:
    """Let one agent claim each feature, add a note, and pass it; return the sizes of the structured answers."""
    path = backlogs.make(folder / "build.db", FEATURES)
    spent = dict.fromkeys(("claim", "note", "pass"), 0)
    with Server(dibs(path)) as server:
        server.initialize()
        for number in range(FEATURES):
            claimed = _answer(server, "feature_claim_and_get", {})
            feature = claimed["feature"]
            held = {"feature_id": feature["id"], "claim_token": claimed["claim"]["token"]}
            note = {
                "feature_id": feature["id"],
                "text": f"The form is in views/{number}.py, its test beside it.",
            }
            noted = _answer(server, "feature_add_note", note)
            evidence = {"summary": "Seen in the browser, as described", "commands": _RUN}
            passed = _answer(server, "feature_mark_passing", held | {"evidence": evidence})
            spent["claim"] += octets(claimed) - sum(octets(feature[part]) for part in OWN)
            spent["note"] += octets(noted)
            spent["pass"] += octets(passed)
        last = octets(_answer(server, "feature_claim_and_get", {}))
    for what, size in spent.items():
        yield Spent(f"answers to {FEATURES} calls: {what}", f"{FEATURES} features", size)
    yield Spent("the whole build", f"{FEATURES} features", sum(spent.values()) + last, BUILD_BUDGET)


_RUN = [{"command": "pytest", "exit_code": 0}]


def _answer(server: Server, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    answer = server.call(tool, arguments).answer
    assert json.loads(answer["content"][0]["text"]) == answer["structuredContent"], "text and structured content agree"
    content: dict[str, Any] = answer["structuredContent"]
    return content


def table(rows: Iterable[Spent]) -> str:
    """Return the rows as Markdown."""
    lines = ["| | of | bytes | at most | with output schemas |", "|---|---|--:|--:|--:|"]
    return "\n".join([*lines, *("| " + " | ".join(one.cells()) + " |" for one in rows)])


def measure(folder: Path) -> list[Spent]:
    """Return all sizes of Dibs."""
    return [*by_role(folder), instructions(folder), *build(folder), *plugin()]


def plugin() -> Iterable[Spent]:
    """Return what the plugin adds to the server: names and descriptions in each session, and a skill when it is used."""
    files = [*PLUGIN.glob("agents/*.md"), *PLUGIN.glob("skills/*/SKILL.md")]
    heads = [file.read_text(encoding="utf-8").split("---\n")[1].splitlines() for file in files]
    at_rest = [line for head in heads for line in head if line.startswith(("name:", "description:"))]
    work = (PLUGIN / "skills" / "work" / "SKILL.md").read_text(encoding="utf-8").split("---\n")[2]
    yield Spent(
        "the plugin, in each session", f"{len(files)} descriptions", sum(len(line.encode()) for line in at_rest)
    )
    yield Spent("the plugin, once: `/dibs:work`", "", len(work.encode()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 if a budget is exceeded."""
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
