"""What the pages show: each feature in one column, filters, pages, events; and every text as text."""

from __future__ import annotations

import re
from functools import partial
from html.parser import HTMLParser

import pytest

from board.people import Person
from dibs.database import Database
from dibs.queries import board_columns
from dibs.queries.board_columns import COLUMNS, Filter, first_of_each, page_of_one
from dibs.queries.event_list import EventFilter, list_events
from dibs.verbs.project_settings import change_setting
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Kind, Status
from verbs.stage import add, place

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)><svg/onload=alert(3)>&amp;{{ 7 * 7 }}"
PATHS = ("/", "/board", "/board?state=stuck", "/events", "/add", f"/board?text={HOSTILE}", f"/events?agent={HOSTILE}")


class Markup(HTMLParser):
    """Collects the markup that no template has."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note foreign elements, scripts that are not the board's, and attributes that run or style."""
        given = dict(attrs)
        is_script = tag == "script" and given.get("src") != "/static/board.js"
        if tag == "img" or is_script or any(name.startswith("on") or name == "style" for name in given):
            self.foreign.append(self.get_starttag_text() or tag)


def test_texts_stay_texts(person: Person, database: Database) -> None:
    """Whatever an agent writes into a name, category, reason or note, no page has its markup."""
    for status in (Status.STUCK, Status.NEEDS_HUMAN, Status.IN_PROGRESS, Status.PASSING):
        place(database, status, name=HOSTILE[:200], category=HOSTILE[:60])
    for path in PATHS:
        page = person.get(path).text
        markup = Markup()
        markup.feed(page)
        assert markup.foreign == [], path
        assert "&lt;script&gt;alert(1)" in page, path


def test_each_feature_is_in_one_column(person: Person, database: Database) -> None:
    """All statuses have a place, and the headings count all features; so do the pages of each column alone."""
    database.write_now(lambda tx: change_setting(tx, "planner", "verifier", "other"))
    placed = {status: place(database, status, category="one-each").id for status in Status}
    (blocked,) = add(database, category="one-each", dependencies=[placed[Status.PENDING]])
    wanted = {
        "needs_you": {placed[Status.NEEDS_HUMAN], placed[Status.PASSING]},
        "ready": {placed[Status.PENDING]},
        "waiting": {blocked},
        "in_progress": {placed[Status.IN_PROGRESS]},
        "stuck": {placed[Status.STUCK]},
        "passing": set(),
        "archived": {placed[Status.ARCHIVED]},
    }
    only = Filter(category="one-each")
    columns = database.read_now(lambda tx: first_of_each(tx, only, 10))
    assert {name: {row.id for row in one.features} for name, one in columns.items()} == wanted
    assert {name: str(one.total) for name, one in columns.items()} == {
        name: str(len(ids)) for name, ids in wanted.items()
    }
    for name in COLUMNS:
        alone = database.read_now(partial(page_of_one, column=name, wanted=only, limit=10))
        assert ({one.id for one in alone.features}, alone.total.number) == (wanted[name], len(wanted[name])), name
    everything = database.read_now(lambda tx: first_of_each(tx, Filter(), 1_000))
    ids = [row.id for one in everything.values() for row in one.features]
    assert len(ids) == len(set(ids)) == sum(one.total.number for one in everything.values())
    assert set(placed.values()) <= set(ids)
    page = person.get("/board?category=one-each").text
    assert f'id="feature-{blocked}"' in page
    assert f'waits for <a href="/feature/{placed[Status.PENDING]}"' in page


def test_a_column_has_pages(person: Person, database: Database) -> None:
    """The links from page to page lead to every feature of a column once."""
    ids = add(database, 120, category="many")
    found, path = list[int](), "/board?category=many&state=ready"
    while path:
        page = person.get(path).text
        found += [int(one) for one in re.findall(r'<li id="feature-(\d+)"', page)]
        more = re.search(r'<p id="column-ready-more"><a href="([^"]+)"', page)
        path = more[1].replace("&amp;", "&") if more else ""
    assert found == ids


def test_a_filter_that_fits_many_counts_so_far(
    person: Person, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a few, columns are read one by one and counted up to a bound, and the pages still lead to each feature once."""
    ids = add(database, 30, category="crowd")
    blocked = add(database, 8, category="crowd", dependencies=[ids[0]])
    only = Filter(category="crowd")
    exact = database.read_now(lambda tx: first_of_each(tx, only, 3))
    monkeypatch.setattr(board_columns, "FEW", 20)
    assert database.read_now(lambda tx: first_of_each(tx, only, 3)) == exact
    monkeypatch.setattr(board_columns, "MOST_COUNTED", 10)
    capped = database.read_now(lambda tx: first_of_each(tx, only, 3))
    assert {name: str(one.total) for name, one in capped.items() if one.features} == {"ready": "10+", "waiting": "8"}
    assert {name: one.features for name, one in capped.items()} == {name: one.features for name, one in exact.items()}
    for column, wanted in (("ready", ids), ("waiting", blocked)):
        found, cursor = list[int](), None
        while not found or cursor:
            page = database.read_now(partial(page_of_one, column=column, wanted=only, limit=4, cursor=cursor))
            found, cursor = [*found, *(one.id for one in page.features)], page.next_cursor
        assert found == wanted
    assert "Ready (30)" in re.sub("<[^>]+>", "", person.get("/board?category=crowd").text)


def test_a_board_does_not_draw_what_it_was_not_asked_for(person: Person, database: Database) -> None:
    """Beside others, a column shows its first features and counts the rest."""
    add(database, 40, category="long")
    page = person.get("/board?category=long").text
    assert (len(re.findall(r'<li id="feature-', page)), "All 40" in page) == (12, True)


@pytest.mark.parametrize(
    "path", ["/board?state=none", "/board?state=stuck&after=x", "/events?kinds=none", "/events?before=x"]
)
def test_an_address_that_means_nothing_is_refused(person: Person, path: str) -> None:
    """The refusal says what is possible."""
    assert person.get(path).status_code == 422


def test_events_are_filtered_and_paged(database: Database) -> None:
    """By kind, agent and feature, the newest first, each once."""
    feature = place(database, Status.IN_PROGRESS, category="events").id
    (claim,), older = database.read_now(lambda tx: list_events(tx, 10, EventFilter((Kind.CLAIM,), feature=feature)))
    assert (claim.event.agent, claim.name, older) == (f"ada-{feature}", "a feature", None)
    by_agent, _ = database.read_now(lambda tx: list_events(tx, 10, EventFilter(agent=f"ada-{feature}")))
    assert [one.id for one in by_agent] == [claim.id]
    seen, cursor = list[int](), None
    while True:
        page, cursor = database.read_now(partial(list_events, most=7, wanted=EventFilter(), before=cursor))
        seen += [one.id for one in page]
        if cursor is None:
            break
    assert len(seen) == len(set(seen))
    assert seen[0] == max(seen)
    with pytest.raises(InvalidInput, match="cursor"):
        database.read_now(lambda tx: list_events(tx, 7, EventFilter(), "x"))
