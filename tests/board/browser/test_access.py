"""Everybody can use the pages: no finding by axe in either theme, and keys alone reach everything."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from board.browser import scene
from board.browser.windows import PHONE, Windows, findings_in, paths_of_pages
from races.servers import ServerClient, StartServer

pytestmark = pytest.mark.only_on("sqlite", reason="what the browser does is the same on every engine")


@pytest.fixture(scope="module")
def agents(start: StartServer, board_db: str) -> list[ServerClient]:
    """Eight agents at work."""
    scene.fill(board_db, start("--role", "planner"))
    return scene.agents_at_work(start)


@pytest.mark.usefixtures("agents")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(windows: Windows, theme: str) -> None:
    """Axe has no finding on any page, nor in the list of keys."""
    page = windows.open(color_scheme=theme, reduced_motion="reduce")
    findings = list[str]()
    for path in paths_of_pages(1):
        page.goto(windows.board.origin + path)
        findings += findings_in(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert findings + findings_in(page) == []


@pytest.mark.usefixtures("agents")
@pytest.mark.parametrize("width", [PHONE["width"], 1_280])
def test_nothing_is_wider_than_the_window(windows: Windows, width: int) -> None:
    """No page scrolls sideways, from a phone's width on."""
    page = windows.open(viewport={"width": width, "height": 740})
    for path in paths_of_pages(1):
        page.goto(windows.board.origin + path)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path


@pytest.mark.usefixtures("agents")
def test_keys_alone_reach_everything(windows: Windows) -> None:
    """The tabulator reaches each link, button and field of every page, and each shows that it has the focus."""
    page = windows.open()
    for path in paths_of_pages(1):
        page.goto(windows.board.origin + path)
        missed = page.evaluate(
            """() => [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary")]
                .filter((one) => one.checkVisibility() && (one.tabIndex < 0 || one.disabled))
                .map((one) => one.outerHTML)"""
        )
        assert missed == []
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


@pytest.mark.usefixtures("agents")
def test_keys_move_through_the_rows(windows: Windows) -> None:
    """j and k go through the rows, Esc leaves a field, ? lists the keys; in a field they are letters."""
    page = windows.open()
    rows = page.locator(".card")
    page.keyboard.press("j")
    expect(rows.nth(0).locator(":focus")).to_have_count(1)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(rows.nth(1).locator(":focus")).to_have_count(1)
    field = page.get_by_label("What else must stay hidden?")
    field.focus()
    page.keyboard.type("jk?/")
    expect(field).to_have_value("jk?/")
    page.keyboard.press("Escape")
    expect(field).not_to_be_focused()
    page.keyboard.press("?")
    page.get_by_role("checkbox", name="Use the keys").uncheck()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.usefixtures("agents")
def test_a_question_is_answered_by_keys(windows: Windows) -> None:
    """A person opens the page, goes to the first question, answers it and lands on the next row, without a mouse."""
    page = windows.open()
    expect(page.locator("#needs-you-heading")).to_have_text("Needs you (3)")
    page.keyboard.press("j")
    for key in ("Tab", "Space", "Tab", "ArrowDown", "Tab"):  # the first field, yes, the next field, its second option
        page.keyboard.press(key)
    page.keyboard.type("the shopping list")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#needs-you-heading")).to_have_text("Needs you (2)")
    expect(page.locator(".card").nth(0).locator(":focus")).to_have_count(1)
