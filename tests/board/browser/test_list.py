"""The page List: rows are dragged, and several are changed at once."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from board.browser.windows import Windows
from races.servers import ServerClient, StartServer

pytestmark = pytest.mark.only_on("sqlite", reason="what the browser does is the same on every engine")


@pytest.fixture(scope="module")
def planner(start: StartServer) -> ServerClient:
    """A planner, who has added three features."""
    client = start("--role", "planner")
    features = [{"category": "web", "name": name, "description": "d", "steps": ["s"]} for name in ("a", "b", "c")]
    client.call("feature_create_bulk", features=features)
    return client


def test_a_row_is_dragged_before_another(windows: Windows, planner: ServerClient) -> None:
    """A row that is dropped on another one is before it in the queue."""
    page = windows.open("/list")
    rows = page.locator("[data-feature]")
    rows.nth(2).locator("[draggable]").drag_to(rows.nth(0))
    for place, feature in enumerate(("3", "1", "2")):
        expect(rows.nth(place)).to_have_attribute("data-feature", feature)
    assert [one["id"] for one in planner.call("feature_get_ready")["features"]] == [3, 1, 2]


def test_several_are_archived_at_once(windows: Windows, planner: ServerClient) -> None:
    """What is selected is shown and counted once more before it is changed; then the list is there again."""
    page = windows.open("/list")
    for name in ("Select feature 1", "Select feature 2"):
        page.get_by_label(name).check()
    page.locator("#selection").get_by_role("button", name="Archive").click()
    page.get_by_role("button", name="2 features").click()
    expect(page.get_by_role("heading", name="List")).to_be_visible()
    expect(page.locator("[data-feature]")).to_have_count(1)
    assert planner.call("feature_get_by_id", feature_id=2)["status"] == "archived"
