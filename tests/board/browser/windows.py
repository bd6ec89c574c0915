"""Windows of a real browser on a board."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from board.people import BoardProcess
from dibs.board.app import PAGES

CHROMIUM = shutil.which("chromium-headless-shell")
NOT_INSTALLED = "chromium-headless-shell is not installed"
PHONE = {"width": 360, "height": 740}
PATIENCE = 30.0
"""Seconds."""

_REPORTS_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => console.error("policy", event.violatedDirective, event.blockedURI));
"""


class Windows:
    """Windows of a browser that knows the board's key. `faults` are errors of the script and violations of the policy."""

    def __init__(self, browser: Browser, board: BoardProcess, cookies: Any = None) -> None:
        self.board = board
        self.faults: list[str] = []
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._cookies = cookies

    def open(self, path: str = "/", **options: Any) -> Page:
        """Open a page of the board in a window of its own. `options` are those of `Browser.new_context`."""
        context = self._browser.new_context(**options)
        self._contexts.append(context)
        context.set_default_timeout(PATIENCE * 1_000)
        context.add_init_script(_REPORTS_VIOLATIONS)
        page = context.new_page()
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._note)
        if self._cookies is None:
            page.goto(self.board.url)
            page.wait_for_url(f"{self.board.origin}/")
            self._cookies = context.cookies()
        context.add_cookies(self._cookies)
        page.goto(self.board.origin + path)
        return page

    def close(self) -> None:
        """Close all windows."""
        for context in self._contexts:
            context.close()
        self._contexts.clear()

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:  # refusals, and a killed board
            self.faults.append(message.text)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser. While it runs, the event loop of its library occupies the thread."""
    expect.set_options(timeout=PATIENCE * 1_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


def eventually(holds: Callable[[], object], within: float = PATIENCE) -> None:
    """Wait until something holds. Raises AssertionError."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.02)


def paths_of_pages(feature: int) -> list[str]:
    """Return a path of every page of the board; pages of one feature, and of selected ones, are those of the given one."""
    paths = (page.path.replace("{what}", f"archive?id={feature}") for page in PAGES)
    return [re.sub(r"\{[^}]*\}", str(feature), path) for path in paths]


def findings_in(page: Page) -> list[str]:
    """Return what axe finds on a page: the address, the rule, and the first element."""
    found = Axe().run(page).response["violations"]
    return [f"{page.url}: {one['id']}: {one['nodes'][0]['html'][:500]}" for one in found]
