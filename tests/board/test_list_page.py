"""The list: filters in the address, pages, moves in the queue, and one thing done to a frozen set of features."""

from __future__ import annotations

import re

from board.forms import elements_of, values_of
from board.people import Person, alerts
from dibs.database import Database
from dibs.verbs.update import change
from dibs_schema.status import Kind, Status
from verbs.stage import add, journal, named, place, row, take


def rows_of(document: str) -> list[int]:
    """Return the features in the rows of a list, in order."""
    return [int(one) for one in re.findall(r'id="row-(\d+)"', document)]


def test_the_rows_are_in_the_order_of_the_queue(person: Person, database: Database) -> None:
    """The ready features stand as they will be claimed, and a move up, to the front or before another one is shown."""
    ids = add(database, 4, category="queue")
    here = "/list?state=ready"
    assert [one for one in rows_of(person.get(here).text) if one in ids] == ids
    a, b, c, d = ids

    def send(feature: int, **values: str) -> list[int]:
        shown = values_of(person.get(here).text, f"move-{feature}") | values
        assert person.act("move", **shown).headers["location"] == here
        return [one for one in rows_of(person.get(here).text) if one in ids]

    assert send(d, up=str(c)) == [a, b, d, c]
    assert send(c, before=str(a)) == [c, a, b, d]
    assert send(b, to="front") == [b, c, a, d]
    assert send(c, to="end") == [b, a, d, c]
    page = person.get(here).text
    row_of_b = re.search(rf'<li id="row-{b}"[^>]*data-feature="{b}".*?</li>', page, re.DOTALL)
    assert row_of_b is not None
    assert 'draggable="true"' in row_of_b[0]
    assert re.search(r"<form [^>]*data-move>", row_of_b[0])
    assert f'name="up" value="{b}"' in page


def test_filters_and_pages_are_in_the_address(person: Person, database: Database) -> None:
    """The links to more pages keep the filter, and lead to every feature once."""
    ids = add(database, 120, category="many pages")
    add(database, 3, category="others")
    found: list[int] = []
    path = "/list?state=ready&category=many+pages"
    while True:
        page = person.get(path).text
        assert "Ready (120)" in page
        found += rows_of(page)
        more = re.search(r'<a href="([^"]+)">More</a>', page)
        if more is None:
            break
        path = more[1].replace("&amp;", "&")
    assert sorted(found) == ids
    assert person.get("/list?state=nonsense").status_code == 422


def test_one_thing_is_done_to_the_features_that_were_counted(person: Person, database: Database) -> None:
    """A feature that fits the filter later is not touched: the ids are those of the page that asked."""
    first, second = add(database, 2, category="bulk")
    asked = person.get("/list/archive", params={"id": [first, second], "back": "/list?category=bulk"})
    assert "Archive: 2 features" in asked.text
    (later,) = add(database, category="bulk")
    fields = [(one, value) for one, value in re.findall(r'name="(\w+)" value="([^"]*)"', asked.text) if one == "id"]
    assert [value for _, value in fields] == [str(first), str(second)]
    done = person.act("each", what="archive", id=[value for _, value in fields], back="/list?category=bulk")
    assert (done.status_code, done.headers["location"]) == (303, "/list?category=bulk")
    states = [row(database, one)["status"] for one in (first, second, later)]
    assert states == [Status.ARCHIVED, Status.ARCHIVED, Status.PENDING]


def test_what_is_refused_is_named_and_the_rest_is_done(person: Person, database: Database) -> None:
    """A claimed feature among the selected is not archived; the page says which and why."""
    free, held = add(database, 2)
    take(database, named("ada"), held)
    done = person.act("each", what="archive", id=[str(free), str(held)], back="/list", alert="alert")
    assert done.status_code == 422
    (words,) = alerts(done.text)
    assert words.startswith("1 of 2 were changed.")
    assert f"Feature {held} is claimed" in words
    assert (row(database, free)["status"], row(database, held)["status"]) == ("archived", "in_progress")


def test_the_selected_move_to_the_front_in_their_order(person: Person, database: Database) -> None:
    """The first of the selected is claimed first."""
    ids = add(database, 3)
    assert person.act("each", what="front", id=[str(one) for one in ids], back="/list").status_code == 303
    assert rows_of(person.get("/list").text)[:3] == ids
    assert [journal(database, one)[-1]["kind"] for one in ids] == [Kind.UPDATE] * 3


def test_a_selection_must_make_sense(person: Person, database: Database) -> None:
    """No features, too many, other texts than numbers and unknown actions are refused, and change nothing."""
    (feature,) = add(database)
    before = row(database, feature)
    for ids in ([], ["x"], ["-1"], [str(2**40)], [str(one) for one in range(1, 300)]):
        assert person.act("each", what="archive", id=ids, back="/list").status_code == 422
    assert person.act("each", what="delete", id=[str(feature)], back="/list").status_code == 422
    assert person.get("/list/delete", params={"id": feature}).status_code == 422
    assert row(database, feature) == before


def test_the_way_back_is_a_list(person: Person, database: Database) -> None:
    """An address that is no list of this board is not linked."""
    (feature,) = add(database)
    for back in ("//elsewhere.example/", "https://elsewhere.example/", "javascript:alert(1)", "/listing"):
        page = person.get("/list/archive", params={"id": feature, "back": back}).text
        assert [one["href"] for tag, one in elements_of(page) if tag == "a" and "elsewhere" in one["href"]] == []
        assert '<a href="/list">Back' in page
        assert values_of(page, "each")["back"] == "/list"


def test_a_name_that_changed_is_shown_before_acting(person: Person, database: Database) -> None:
    """The page that asks shows the features as they are now."""
    on = place(database, Status.STUCK)
    database.write_now(lambda tx: change(tx, "bob", on.id, {"name": "renamed since"}))
    page = person.get("/list/retry", params={"id": on.id}).text
    assert "renamed since" in page
    assert 'class="state stuck"' in page
