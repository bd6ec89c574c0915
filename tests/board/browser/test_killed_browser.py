"""The browser is killed while a person answers: what was sent is stored, and a new one goes on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from board.browser import scene
from board.browser.windows import CHROMIUM, Windows, eventually
from board.people import BoardProcess
from races.servers import StartServer

pytestmark = pytest.mark.only_on("sqlite", reason="what the browser does is the same on every engine")


def test_a_killed_browser_loses_nothing(
    browser: Browser, board: BoardProcess, board_db: str, start: StartServer, tmp_path: Path
) -> None:
    """What was sent before is in the backlog, nothing half-typed is, and the cookie opens the page in a new browser."""
    planner = start("--role", "planner")
    scene.fill(board_db, planner)
    scene.agents_at_work(start)
    command = [str(CHROMIUM), "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={tmp_path}", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = next(found for line in process.stderr if (found := re.search(r"listening on (ws:\S+)", line)))
        context = browser.browser_type.connect_over_cdp(found[1]).new_context()
        page = context.new_page()
        page.goto(board.url)
        page.wait_for_url(f"{board.origin}/")
        cookies = context.cookies()
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("#needs-you-heading")).to_have_text("Needs you (2)")
        page.get_by_label("hidden").fill("half a thought")
        process.kill()
        process.wait()
    again = Windows(browser, board, cookies)
    page = again.open()
    expect(page.locator("#needs-you-heading")).to_have_text("Needs you (2)")
    expect(page.get_by_label("hidden")).to_have_value("")
    question = page.locator(".card", has_text=scene.QUESTION)
    question.get_by_label("No").check()
    question.get_by_label("a week").check()
    question.get_by_role("button", name="Answer").click()
    eventually(lambda: planner.call("feature_get_by_id", feature_id=scene.ASKED)["status"] == "pending")
    assert planner.call("feature_get_by_id", feature_id=scene.STUCK)["status"] == "pending"
    again.close()
    assert again.faults == []
