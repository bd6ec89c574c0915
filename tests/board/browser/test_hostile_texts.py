"""Agents write the texts on the pages: whatever they write, it stays text."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import update

from board.browser import scene
from board.browser.windows import PHONE, Windows, findings_in, paths_of_pages
from board.people import board_on
from dibs.database import open_database
from dibs.settings import Settings
from dibs_schema.tables import features
from races.servers import ServerClient, StartServer
from verbs.stage import add

pytestmark = pytest.mark.only_on("sqlite", reason="what the browser does is the same on every engine")

MARKUP = (
    "<script>owned=1</script>",
    '"><img src=x onerror=owned=1>',
    "'><svg/onload=owned=1><a xlink:href=javascript:owned=1>",
    "</textarea></title></bdi></script><iframe srcdoc='<script>parent.owned=1</script>'>",
    '<b style="position:fixed;inset:0" id="main" data-live>',
    "javascript:owned=1 data:text/html,<script>",
    "{{ 7 * 7 }}{% include 'x' %}",
)
LINES = "\n\nevent: patch\ndata: <img src=x onerror=owned=1>\n\n"
RAW = "\u202egnorw\u2066 \x1b[31mred\x1b]0;title\x07 \u2028 e" + "\u0301" * 200 + " \u05d0\u0628 \ufffe"
"""What the tools take out, and what a program that writes into the file leaves in."""
LONG = "w" * 20_000
SHORT = "".join(MARKUP)


def _ask(agent: ServerClient, feature_id: int, claim_token: str) -> None:
    fields = [{"id": kind, "label": SHORT[:200], "type": kind} for kind in ("text", "textarea", "boolean")]
    choice = {"id": "select", "label": "w" * 200, "type": "select", "options": [*MARKUP[:3], "w" * 200]}
    agent.call(
        "feature_request_human_input",
        feature_id=feature_id,
        claim_token=claim_token,
        prompt=SHORT + LINES + "w" * 1_000,
        fields=[*fields, choice],
    )
    options = [{"label": MARKUP[0], "description": SHORT[:300]}, {"label": "w" * 100}]
    question = {"question": SHORT[:500], "header": MARKUP[0][:12], "options": options}
    agent.call("ask_user", questions=[question, {**question, "header": "w" * 12, "multiSelect": True}])


@pytest.fixture(scope="module")
def attack(start: StartServer, board_db: str) -> int:
    """Hostile texts in every field and state; returns a feature that has them raw, as only a program could write them."""
    planner, agent = start("--role", "planner"), start("--agent", MARKUP[1])
    text = {
        "category": SHORT[:100],
        "description": (SHORT + LINES + LONG)[:20_000],
        "steps": [SHORT + LINES, "w" * 2_000],
    }
    names = [*MARKUP, "w" * 255, SHORT[:255], "others", "to claim"]
    planner.call("feature_create_bulk", features=[{**text, "name": name} for name in names])
    paths = ["<script>owned=1</script>/*.py", '"><img src=x onerror=owned=1>', "w" * 150]
    planner.call("feature_update", feature_id=1, paths=paths)
    planner.call("feature_add_dependency", feature_id=len(names) - 2, dependency_id=1)
    for _ in range(3):
        agent.call("feature_skip", feature_id=1, reason=(SHORT + LINES + LONG)[:2_000])
    _ask(agent, **_claim(agent))
    passed = _claim(agent)
    commands = [{"command": SHORT[:500], "exit_code": 1}]
    agent.call("feature_mark_passing", **passed, evidence={"summary": SHORT, "commands": commands, "commit": MARKUP[0]})
    _claim(agent)
    database = open_database(Settings(db=board_db))
    raw = (
        update(features)
        .where(features.c.id == 1)
        .values(name=RAW[:255], description=(RAW + LONG)[:20_000], category=RAW[:100])
    )
    assert database.write_now(lambda tx: tx.run(raw)) == 1
    database.close(patience=5)
    return 1


def _claim(agent: ServerClient) -> dict[str, Any]:
    """Claim a feature, leave a note on it, and return what names the claim."""
    named = scene.claimed(agent)
    agent.call("feature_heartbeat", **named, note=SHORT)
    return named


def _is_text(page: Page) -> None:
    """Check that no text has become an element or a script, and that the page is as wide as its window."""
    assert page.evaluate("window.owned") is None
    expect(page.locator("main :is(img, script, iframe, object, embed, b, [style], [onload], [onerror])")).to_have_count(
        0
    )
    expect(page.locator('[href^="javascript:" i], [href^="data:text" i]')).to_have_count(0)
    assert "49" not in page.title()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.parametrize("width", [PHONE["width"], 1_280])
def test_texts_stay_text(windows: Windows, attack: int, width: int) -> None:
    """On every page no script runs, no element appears, no policy is violated, and nothing is wider than the window."""
    page = windows.open(viewport={"width": width, "height": 740})
    for path in paths_of_pages(attack):
        page.goto(windows.board.origin + path)
        expect(page.locator("h1")).to_be_visible()
        _is_text(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_hostile_texts(windows: Windows, attack: int, theme: str) -> None:
    """The pages stay usable for everybody, on a phone too."""
    page = windows.open(viewport=PHONE, color_scheme=theme, reduced_motion="reduce")
    findings = list[str]()
    for path in paths_of_pages(attack):
        page.goto(windows.board.origin + path)
        findings += findings_in(page)
    assert findings == []


def test_the_name_of_a_project_stays_text(browser: Browser, tmp_path: Path) -> None:
    """A folder may have any name, and the page shows it in its heading and title; two of them have a page of all."""
    files = [tmp_path / name / ".dibs" / "features.db" for name in ('"><img src=x onerror=owned=1>', "w" * 200)]
    for file in files:
        with closing(open_database(Settings(db=str(file)))) as database:
            add(database, name=MARKUP[0])
    with board_on(str(files[0]), "--db", str(files[1])) as board:
        opened = Windows(browser, board)
        page = opened.open(viewport=PHONE)
        for path in ("/", "/1/", "/2/", "/1/feature/1"):
            page.goto(board.origin + path)
            expect(page.locator("h1")).to_be_visible()
            _is_text(page)
            assert findings_in(page) == []
        opened.close()
    assert opened.faults == []


def test_texts_that_arrive_stay_text(windows: Windows, attack: int, start: StartServer) -> None:
    """The same for what arrives while the page is open."""
    page = windows.open(viewport=PHONE)
    agent = start("--agent", MARKUP[2][:100])
    agent.call("feature_claim_and_get")
    expect(page.locator("#agents")).to_contain_text(MARKUP[2][:40])
    _is_text(page)
