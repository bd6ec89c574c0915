"""How soon a change is on the board, and what it costs: real agents, a real board, and windows of a real browser."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Thread

from playwright.sync_api import Page

from bench.backlogs import make_large
from bench.figures import Figure, Measured, Promise, rank
from board.browser.windows import Windows, chromium, eventually
from board.people import BoardProcess, Person, board_on
from races.servers import ServerClient, serving, up

BOUND = 0.5
"""Seconds from an agent's call to the changed page."""
DEARER = 1.1
"""By how much the agents' claims may take longer while a board is watched."""
FIRST_BYTE = 0.150
"""Seconds."""
MEMORY = 120 * 1024
"""KiB."""
MOST_AT_ONCE = 1_000
"""Features in one call."""
THINKS = (0.5, 1.5)
"""The least and the most seconds between an agent's claim and its pass."""
FEATURES, PASSING, BLOCKED = 100_000, 60_000, 20_000
NEEDED, BLOCKED_ONE = FEATURES, PASSING + 10
"""A feature on which 20,000 wait, and one of those."""
FILTERS = ("agent=bench", "agent=nobody", "text=feature", "text=ref-0999", "text=none", "category=area+3")
SCREENS = (
    *("/", "/events", "/events?agent=bench", "/add", "/board", "/board?state=waiting", "/list", "/list?state=passing"),
    *(f"/feature/{one}{more}" for one in (NEEDED, BLOCKED_ONE) for more in ("", "/graph")),
    *(f"/board?{one}" for one in (*FILTERS, "text=feature&agent=bench&category=area+3")),
    *(f"/list?{one}&state={state}" for one in FILTERS for state in ("ready", "passing")),
)
"""The paths of every screen, with filters that fit many, few or none of the features that `make_large` makes."""
NOTHING = "/static/nothing"
"""A path that the board's server answers without the database: no such file."""
_WATCH = """() => {
  window.passes = {};
  const look = (row) => {
    if (!row.matches?.(".events > li") || !row.querySelector(".state.passing")) return;
    passes[row.querySelector("a.feature").href.split("/").pop()] = Date.now() / 1000;
  };
  new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.forEach(look)))
    .observe(document.body, { childList: true, subtree: true });
}"""


@dataclass(slots=True)
class Watched:
    """What agents and pages have measured, in seconds, and the memory of the board in KiB.

    `changes` are the times from a call to each changed page, `claims` those of the agents' claims.
    """

    changes: list[float] = field(default_factory=list)
    claims: list[float] = field(default_factory=list)
    memory: int = 0


def measure(folder: Path, agents: int, windows: int, passes: int, requests: int) -> Iterator[Measured]:
    """Measure changes in every window, the agents' claims with and without the board in turn, and the first bytes.

    Each agent passes `passes` features in each of four phases; each screen is requested `requests` times.
    """
    who = f"{agents} agents"
    watched, alone = Watched(), Watched()
    db = str(folder / "agents.db")
    with agents_on(db, agents, 4 * passes) as workers:
        for with_board in (True, False, False, True):  # in turn: other programs may use the machine
            work(db, workers, windows if with_board else 0, passes, watched if with_board else alone)
    yield Promise(f"a pass on the page, {who}, {windows} windows", watched.changes, BOUND)
    yield Promise(f"a claim, {who}, {windows} windows on the board", watched.claims)
    yield Promise(f"a claim, {who}, no board", alone.claims)
    ends = [rank(watched.claims, 0.99)], [rank(alone.claims, 0.99)]
    yield Figure(f"p99 of a claim, {who}: with a board, without", *ends, "ms", DEARER)
    yield Figure(f"memory of the board, {windows} windows: of its bound", [watched.memory], [MEMORY], "MiB", 1.0)
    yield from first_bytes(folder, requests)


@contextmanager
def agents_on(db: str, agents: int, passes: int) -> Iterator[list[ServerClient]]:
    """Start agents on a backlog with `passes` features for each of them."""
    with serving(db) as start:
        planner = start("--role", "planner")
        text = {"category": "bench", "description": "d", "steps": ["s"]}
        entries = [{**text, "name": f"feature {number}"} for number in range(agents * passes)]
        for first in range(0, len(entries), MOST_AT_ONCE):
            planner.call("feature_create_bulk", features=entries[first : first + MOST_AT_ONCE])
        yield up(*(start("--agent", f"agent-{number}") for number in range(agents)))


def work(db: str, workers: list[ServerClient], windows: int, passes: int, found: Watched) -> None:
    """Let each agent claim and pass `passes` features, watched in so many windows; without any there is no board."""
    made = dict[int, float]()
    with ExitStack() as stack:
        pages = list[Page]()
        if windows:
            board = stack.enter_context(board_on(db))
            opened = Windows(stack.enter_context(chromium()), board)
            stack.callback(opened.close)
            pages = [opened.open() for _ in range(windows)]
        for page in pages:
            page.evaluate(_WATCH)
        threads = [Thread(target=_work, args=(worker, passes, made, found.claims)) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for page in pages:
            eventually(partial(_has_seen, page, len(made)))
            seen: dict[str, float] = page.evaluate("passes")
            found.changes += [at - made[int(feature)] for feature, at in seen.items() if int(feature) in made]
        if windows:
            found.memory = max(found.memory, memory_of(board))


def memory_of(board: BoardProcess) -> int:
    """Return the memory of a board in KiB that no other process shares. Source: Pss in proc_pid_smaps_rollup."""
    lines = Path(f"/proc/{board.process.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def first_bytes(folder: Path, requests: int) -> Iterator[Measured]:
    """Measure the time to the first byte of each screen of a large backlog, and of no page at the same server."""
    db = make_large(folder / "features.db", FEATURES, passing=PASSING, blocked=BLOCKED)
    times: dict[str, list[float]] = {path: [] for path in (*SCREENS, NOTHING)}
    with board_on(str(db)) as board, Person(board) as person:
        person.enter()
        for turn in range(requests + 1):
            for path, own in times.items():
                seconds = _first_byte(person, path)
                if turn:  # the first one fills caches
                    own.append(seconds)
    yield Promise("the first byte of no page", times.pop(NOTHING))
    for path, own in sorted(times.items(), key=lambda one: -rank(one[1], 0.99)):
        yield Promise(f"the first byte of {path}", own, FIRST_BYTE)


def _first_byte(person: Person, path: str) -> float:
    began = time.perf_counter()
    with person.stream("GET", path) as answer:
        parts = answer.iter_raw()
        next(parts)
        seconds = time.perf_counter() - began
        for _ in parts:
            pass
    return seconds


def _has_seen(page: Page, passes: int) -> bool:
    return bool(page.evaluate("Object.keys(passes).length") >= passes)


def _work(agent: ServerClient, passes: int, made: dict[int, float], claims: list[float]) -> None:
    """Claim and pass features, and note when each pass was asked for, and how long each claim took."""
    for _ in range(passes):
        began = time.perf_counter()
        claim = agent.call("feature_claim_and_get")
        claims.append(time.perf_counter() - began)
        feature = claim["feature"]["id"]
        time.sleep(random.uniform(*THINKS))
        asked_at = time.time()
        agent.call("feature_mark_passing", feature_id=feature, claim_token=claim["claim"]["token"])
        made[feature] = asked_at
