"""A person's morning: the page is opened on eight agents at work, and everything that needs a person is done there."""

from __future__ import annotations

from playwright.sync_api import expect

from board.browser import scene
from board.browser.windows import Windows, eventually
from races.servers import StartServer


def test_a_morning(windows: Windows, start: StartServer, board_db: str) -> None:
    """A person answers, retries, frees, moves, edits, and sees the work of a killed agent taken over."""
    planner = start("--role", "planner")
    scene.fill(board_db, planner)
    scene.agents_at_work(start)
    page = windows.open()
    needs_you, agents = page.locator("#needs-you"), page.locator("#agents")

    # The first look: eight agents, two questions and a stuck feature, also in the title.
    expect(agents.locator(".claim")).to_have_count(8)
    for name in scene.AGENTS:
        expect(agents.locator(".agent", has_text=name)).to_be_visible()
    expect(needs_you.get_by_role("button", name="Answer")).to_have_count(2)
    assert page.title().startswith("(3) ")

    # A question is answered, and the answer reaches the agent that claims the feature next.
    question = needs_you.locator(".card", has_text=scene.QUESTION)
    question.get_by_label("No").check()
    question.get_by_label("a week").check()
    question.get_by_label("hidden").fill("The shopping list")
    question.get_by_role("button", name="Answer").click()
    expect(needs_you.get_by_role("button", name="Answer")).to_have_count(1)
    kim = start("--agent", "kim")
    answer = kim.call("feature_claim_and_get", feature_id=scene.ASKED)["feature"]["human_answer"]
    assert answer["answers"] == {"members": False, "days": "a week", "hidden": "The shopping list"}

    # A stuck feature is tried again.
    needs_you.locator(".card", has_text=scene.FAILURE).get_by_role("button", name="Try again").click()
    expect(needs_you.locator(".card")).to_have_count(1)
    assert planner.call("feature_get_by_id", feature_id=scene.STUCK)["status"] == "pending"

    # A forgotten claim is freed, after a question.
    forgotten = agents.locator(".claim", has_text="hana")
    forgotten.locator("summary").click()
    forgotten.get_by_role("button", name="Free it").click()
    expect(agents.locator(".claim", has_text="hana")).to_have_count(0)

    # A feature is moved to the front of the queue.
    other = windows.open(f"/feature/{scene.LAST_READY}")
    other.get_by_text("Move…").click()
    other.get_by_role("button", name="To the front").click()
    eventually(lambda: planner.call("feature_get_ready")["features"][0]["id"] == scene.LAST_READY)

    # A feature is edited while an agent changes it: the stale save is refused, and shows both texts.
    other.get_by_text("Edit…").click()
    description = other.get_by_label("Description")
    description.fill("What I want")
    planner.call("feature_update", feature_id=scene.LAST_READY, description="What an agent wants")
    other.get_by_role("button", name="Save").click()
    expect(other.locator("#edit-seen")).to_contain_text("What an agent wants")
    expect(description).to_have_value("What I want")
    other.get_by_role("button", name="Save").click()
    expect(other.locator("#edit-seen")).not_to_contain_text("What an agent wants")
    assert planner.call("feature_get_by_id", feature_id=scene.LAST_READY)["description"] == "What I want"

    # The work of an agent that is killed is taken over before the person's eyes.
    victim, successor = start("--agent", "ivy", "--lease", "3"), start("--agent", "jo", "--lease", "3")
    successor.ready()  # looks for expired claims as often as its lease demands
    feature = victim.call("feature_claim_and_get")["feature"]["id"]
    expect(agents.locator(".claim", has_text="ivy")).to_be_visible()
    victim.kill()
    expect(agents.locator(".claim", has_text="ivy")).to_have_count(0)
    expect(agents).to_contain_text("Claims that expired")
    successor.call("feature_claim_and_get", feature_id=feature)
    expect(agents.locator(".claim", has_text="jo")).to_contain_text(str(feature))
