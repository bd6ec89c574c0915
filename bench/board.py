"""How soon a change is on the board: real agents, a real board, and windows of a real browser."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Thread

from playwright.sync_api import Page

from bench.figures import Promise
from board.browser.windows import Windows, chromium, eventually
from board.people import board_on
from races.servers import ServerClient, serving, up

BOUND = 0.5
"""Seconds."""
THINKS = (0.5, 1.5)
"""The least and the most seconds between an agent's claim and its pass."""
_WATCH = """() => {
  window.passes = {};
  const look = (row) => {
    if (!row.matches?.(".events > li") || !row.querySelector(".state.passing")) return;
    passes[row.querySelector("a.feature").href.split("/").pop()] = Date.now() / 1000;
  };
  new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.forEach(look)))
    .observe(document.body, { childList: true, subtree: true });
}"""


def measure(folder: Path, agents: int, windows: int, passes: int) -> Iterator[Promise]:
    """Measure the time from an agent's call to the changed page, in every window."""
    waits = changes(str(folder / "features.db"), agents, windows, passes)
    yield Promise(f"a pass on the page, {agents} agents, {windows} windows", waits, BOUND)


def changes(db: str, agents: int, windows: int, passes: int) -> list[float]:
    """Let agents make `passes` passes each, and return the seconds after which each is in each window."""
    made = dict[int, float]()
    with serving(db) as start:
        planner = start("--role", "planner")
        text = {"category": "bench", "description": "d", "steps": ["s"]}
        names = [f"feature {number}" for number in range(agents * passes)]
        planner.call("feature_create_bulk", features=[{**text, "name": name} for name in names])
        workers = up(*(start("--agent", f"agent-{number}") for number in range(agents)))
        with board_on(db) as board, chromium() as browser:
            opened = Windows(browser, board)
            pages = [opened.open() for _ in range(windows)]
            for page in pages:
                page.evaluate(_WATCH)
            threads = [Thread(target=_work, args=(worker, passes, made)) for worker in workers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seen = list[dict[str, float]]()
            for page in pages:
                eventually(partial(_has_seen, page, len(made)))
                seen.append(page.evaluate("passes"))
            opened.close()
    return [at - made[int(feature)] for times in seen for feature, at in times.items()]


def _has_seen(page: Page, passes: int) -> bool:
    return bool(page.evaluate("Object.keys(passes).length") == passes)


def _work(agent: ServerClient, passes: int, made: dict[int, float]) -> None:
    """Claim and pass features, and note when each pass was asked for."""
    for _ in range(passes):
        claim = agent.call("feature_claim_and_get")
        feature = claim["feature"]["id"]
        time.sleep(random.uniform(*THINKS))
        asked_at = time.time()
        agent.call("feature_mark_passing", feature_id=feature, claim_token=claim["claim"]["token"])
        made[feature] = asked_at
