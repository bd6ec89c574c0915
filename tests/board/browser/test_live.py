"""Changes arrive on the page while a person reads and writes there, and a lost board is reported."""

from __future__ import annotations

import os
import signal

import pytest
from playwright.sync_api import Page, expect

from board.browser.windows import Windows
from board.people import Person, board_on
from races.servers import ServerClient, StartServer

pytestmark = pytest.mark.only_on("sqlite", reason="what the browser does is the same on every engine")


@pytest.fixture(scope="module")
def planner(start: StartServer) -> ServerClient:
    """A planner."""
    return start("--role", "planner")


@pytest.fixture(scope="module")
def agent(start: StartServer) -> ServerClient:
    """An agent."""
    return start("--agent", "ada")


def _add(planner: ServerClient, *names: str) -> None:
    features = [{"category": "web", "name": name, "description": "d", "steps": ["s"]} for name in names]
    planner.call("feature_create_bulk", features=features)


def _claim_and_ask(agent: ServerClient, prompt: str) -> int:
    """Let the agent ask a person about a feature, and return the feature."""
    claim = agent.call("feature_claim_and_get")
    fields = [{"id": "how", "label": f"How, {prompt}?", "type": "textarea"}]
    token, feature = claim["claim"]["token"], int(claim["feature"]["id"])
    agent.call("feature_request_human_input", feature_id=feature, claim_token=token, prompt=prompt, fields=fields)
    return feature


def _events(page: Page) -> int:
    return page.locator("#event-list > li").count()


def test_what_a_person_does_stays_while_changes_arrive(
    windows: Windows, planner: ServerClient, agent: ServerClient
) -> None:
    """Half-typed text, the selection in it, focus, open details and scroll outlast changes around and above them."""
    _add(planner, "one", "two", "three")
    first, second = _claim_and_ask(agent, "first"), _claim_and_ask(agent, "second")
    page = windows.open(viewport={"width": 800, "height": 300})
    field = page.get_by_label("How, second?")
    page.locator(f"#withdraw-card-{second}-asking, #needs-you details").last.locator("summary").click()
    field.fill("half a thought")
    field.evaluate("field => { field.setSelectionRange(5, 6); field.scrollIntoView({ block: 'center' }) }")
    place, scroll = field.evaluate("field => field.getBoundingClientRect().top"), page.evaluate("scrollY")
    assert scroll > 0

    planner.call("feature_answer_human_input", feature_id=first, answers={"how": "so"})
    agent.call("feature_claim_and_get")
    expect(page.get_by_label("How, first?")).to_have_count(0)
    expect(page.locator("#agents")).to_contain_text("At work (1)")

    expect(field).to_be_focused()
    expect(field).to_have_value("half a thought")
    assert field.evaluate("field => [field.selectionStart, field.selectionEnd]") == [5, 6]
    expect(page.locator("#needs-you details").last).to_have_attribute("open", "")
    assert abs(field.evaluate("field => field.getBoundingClientRect().top") - place) < 2


def test_what_a_person_writes_outlasts_its_question(
    windows: Windows, planner: ServerClient, agent: ServerClient
) -> None:
    """A question that somebody else answers stays while a person writes an answer, which is then refused in words."""
    _add(planner, "four")
    feature = _claim_and_ask(agent, "fourth")
    page = windows.open()
    field = page.get_by_label("How, fourth?")
    field.fill("my answer")
    planner.call("feature_answer_human_input", feature_id=feature, answers={"how": "another"})
    card = page.locator(".card[data-gone]")
    expect(card).to_have_count(1)
    expect(field).to_have_value("my answer")
    card.get_by_role("button", name="Answer").click()
    expect(card.get_by_role("alert").filter(has_text="feature")).to_be_visible()
    expect(field).to_have_value("my answer")


def test_rows_are_moved_and_not_made_again(windows: Windows) -> None:
    """Each row is the same element after a change of their order, and the focused one keeps the focus, in any browser."""
    page = windows.open()
    for moves in (True, False):
        order = page.evaluate(
            """async (moves) => {
                if (!moves) delete Element.prototype.moveBefore;
                const section = document.querySelector("#needs-you");
                const list = (names) => `<section id="needs-you" data-live><ul class="cards" id="needs-you-cards">
                    ${names.map((name) => `<li id="row-${name}" class="card"><a href="#x">${name}</a></li>`).join("\\n")}
                </ul></section>`;
                const source = await import(document.querySelector("script").src);
                source.patch(list([..."abcde"]));
                const rows = [...section.querySelectorAll("li")];
                rows[2].firstChild.focus();
                source.patch(list([..."ecxab"]));
                return {
                    names: [...section.querySelectorAll("li")].map((row) => row.textContent),
                    same: rows.filter((row) => row.isConnected).map((row) => row.textContent),
                    focused: document.activeElement.textContent,
                };
            }""",
            moves,
        )
        assert order == {"names": ["e", "c", "x", "a", "b"], "same": ["a", "b", "c", "e"], "focused": "c"}


def test_a_lost_board_is_reported(windows: Windows) -> None:
    """A board that no longer answers is reported within five seconds, and the page goes on when it answers again."""
    page = windows.open()
    connection = page.locator("#connection")
    expect(page.locator("#needs-you-heading")).to_be_visible()
    os.kill(windows.board.process.pid, signal.SIGSTOP)
    try:
        expect(connection).to_contain_text("Not connected since", timeout=5_000)
    finally:
        os.kill(windows.board.process.pid, signal.SIGCONT)
    expect(connection).to_be_empty()


def test_a_killed_board_is_reported(windows: Windows, board_db: str, planner: ServerClient) -> None:
    """A killed board is reported within five seconds; the page comes back by itself when the board is started again.

    If that board lets in another browser, the page says how to come back.
    """
    page = windows.open()
    page.wait_for_timeout(500)
    windows.board.kill()
    expect(page.locator("#connection")).to_contain_text("Not connected since", timeout=5_000)
    with board_on(board_db, port=windows.board.port) as again:
        expect(page.locator("#connection")).to_be_empty()
        planner.call("feature_create", category="web", name="added since", description="d", steps=["s"])
        expect(page.locator("#events")).to_contain_text("added since")
        with Person(again) as other:
            other.enter()
        page.reload()
        expect(page.get_by_role("heading", name="The board is closed to this browser")).to_be_visible()
