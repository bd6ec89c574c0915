"""`dibs board --static`: one page that needs nothing else, and that nobody else can change."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

from dibs.database import Database
from dibs_schema.status import Status
from verbs.stage import place

COMMAND = [sys.executable, "-m", "dibs", "board"]
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>"


class Elements(HTMLParser):
    """Collects the elements of a page, and the attributes that load or lead somewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: set[str | None] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.add(tag)
        self.links |= {value for name, value in attrs if name in {"src", "href", "action"}}


def test_the_page_stands_alone(board_db: str, database: Database, tmp_path: Path) -> None:
    """It has each column, no script, form or link, and its policy allows its own style alone."""
    placed = {status: place(database, status, name=f"Now {status}: {MARKUP}").id for status in Status}
    file = tmp_path / "made" / "state.html"
    for _ in range(2):  # the second replaces the first
        subprocess.run([*COMMAND, "--db", board_db, "--static", file], check=True, timeout=60)
    page = file.read_text("utf-8")
    found = Elements()
    found.feed(page)
    assert found.tags & {"script", "form", "a", "iframe", "object"} == set()
    assert found.links == {"data:,"}
    assert {f'id="feature-{one}"' for one in placed.values()} <= set(re.findall(r'id="feature-\d+"', page))
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page


def test_a_static_page_shows_one_project(board_db: str, tmp_path: Path) -> None:
    """One page shows one project."""
    several = [*COMMAND, "--db", board_db, "--db", board_db, "--static", str(tmp_path / "no.html")]
    ended = subprocess.run(several, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, "name one" in ended.stderr, (tmp_path / "no.html").exists()) == (2, True, False)
