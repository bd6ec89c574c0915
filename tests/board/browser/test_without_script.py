"""Everything works without the script, by reloading."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from board.browser import scene
from board.browser.windows import Windows
from races.servers import StartServer

pytestmark = pytest.mark.only_on("sqlite", reason="what the browser does is the same on every engine")


def test_a_person_steers_without_the_script(windows: Windows, start: StartServer, board_db: str) -> None:
    """A person answers a question, retries a stuck feature and frees a claim; a refusal stands beside its form."""
    scene.fill(board_db, start("--role", "planner"))
    scene.agents_at_work(start)
    page = windows.open(java_script_enabled=False)
    expect(page.locator("#needs-you-heading")).to_have_text("Needs you (3)")

    question = page.locator(".card").filter(has_text=scene.QUESTION)
    question.get_by_label("Yes").check()
    question.get_by_label("a week").check()
    question.get_by_role("button", name="Answer").click()
    expect(page.locator("#needs-you-heading")).to_have_text("Needs you (2)")

    claim = page.locator(".claim").first
    claim.locator("summary").click()
    claim.get_by_role("button", name="Free it").click()
    expect(page.locator("#agents-heading")).to_have_text("At work (7)")

    late = page.context.new_page()
    late.goto(windows.board.origin)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#needs-you-heading")).to_have_text("Needs you (1)")
    late.get_by_role("button", name="Try again").click()
    expect(late.get_by_role("alert").filter(has_text="pending")).to_be_visible()
