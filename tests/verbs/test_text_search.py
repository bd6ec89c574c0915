"""The search in all texts of features: descriptions, steps and notes, too."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from dibs.database import Database
from dibs.queries import text_search
from dibs.queries.search import search
from dibs.queries.text_search import search_everywhere
from dibs.transfer.importer import import_features
from dibs.verbs.lease import heartbeat
from dibs.verbs.update import add_note
from dibs_schema.answers import Page
from dibs_schema.folding import fold
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status
from verbs.stage import add, imported, place, readings

PLACES = ["name", "category", "description", "steps", "note", "heartbeat", "reference"]


def found(database: Database, text: str, **asked: Any) -> list[int]:
    """Return the ids of the features with the text anywhere."""
    return readings(database.read_now(partial(search_everywhere, text=text, **asked)).features)


def write(database: Database, where: str, text: str) -> int:
    """Add a feature with the text in one place, and return its id."""
    if where == "reference":
        database.write_now(lambda tx: import_features(tx, [imported(text)]))
        return database.read_now(partial(search, limit=100)).features[-1].id
    if where == "heartbeat":
        on = place(database, Status.IN_PROGRESS)
        database.write_now(lambda tx: heartbeat(tx, on.id, on.token, text))
        return on.id
    fields: dict[str, Any] = {} if where == "note" else {where: ["look", text] if where == "steps" else text}
    (feature,) = add(database, **fields)
    if where == "note":
        database.write_now(lambda tx: add_note(tx, "grace", feature, text))
    return feature


@pytest.mark.parametrize("where", PLACES)
def test_a_text_is_found_wherever_it_is(database: Database, where: str) -> None:
    """Each place is looked in; the ordinary search looks in the names alone."""
    add(database, 2)
    wanted = write(database, where, "The cache is Stale")
    add(database, 2)
    assert found(database, "cache is stale") == [wanted]
    by_name = database.read_now(partial(search, text="cache is stale"))
    assert readings(by_name.features) == ([wanted] if where in ("name", "category", "reference") else [])


@pytest.mark.parametrize(
    ("written", "text"),
    [("Straße", "STRASSE"), ("cafe\u0301", "café"), ("СОХРАНИТЬ", "сохранить"), ("two \n words", "TWO  WORDS")],
)
@pytest.mark.parametrize("where", ["description", "steps", "note"])
def test_case_and_form_make_no_difference(database: Database, where: str, written: str, text: str) -> None:
    """All texts are compared in the form in which names are."""
    wanted = write(database, where, f"before {written} after")
    assert found(database, text) == [wanted]


@pytest.mark.parametrize("text", ["100%", "a_b", "back\\slash", "it's", '"quoted"', "ünïcode", "/"])
@pytest.mark.parametrize("where", ["description", "steps", "note"])
def test_a_text_is_taken_literally(database: Database, where: str, text: str) -> None:
    """Wildcards and the escapes of JSON have no meaning."""
    wanted = write(database, where, f"before {text} after")
    add(database, description="1000 axb backXslash its quoted unicode")
    assert found(database, text) == [wanted]


def test_a_text_does_not_reach_from_one_step_to_the_next(database: Database) -> None:
    """Steps and description are texts of their own."""
    add(database, description="one", steps=["two", "three"])
    assert found(database, "one two") == found(database, "two three") == []


def test_filters_apply(database: Database) -> None:
    """Status, category and agent narrow the search."""
    held = place(database, Status.IN_PROGRESS, category="ui", description="the cache")
    add(database, category="ui", description="the cache")
    add(database, description="the cache")
    assert found(database, "cache", category="ui") == [held.id, held.id + 1]
    assert found(database, "cache", category="ui", status="pending") == [held.id + 1]
    assert found(database, "cache", agent=held.holder.name) == [held.id]


def pages(database: Database, text: str, limit: int, **asked: Any) -> list[Page]:
    """Return all pages."""
    read = partial(search_everywhere, text=text, limit=limit, **asked)
    got = [database.read_now(read)]
    while (cursor := got[-1].next_cursor) is not None:
        got.append(database.read_now(partial(read, cursor=cursor)))
    return got


@pytest.mark.parametrize("batch", [1, 3, 100])
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_have_each_feature_once_and_one_total(
    database: Database, monkeypatch: pytest.MonkeyPatch, limit: int, batch: int
) -> None:
    """However large the batches of the scan are, each page but the last is full, and the total is that of all."""
    monkeypatch.setattr(text_search, "BATCH", batch)
    wanted = [*add(database, 2, description="cache")]
    add(database, 3)
    wanted += [write(database, "note", "cache"), *add(database, 2, steps=["cache"])]
    got = pages(database, "cache", limit)
    assert [one for page in got for one in readings(page.features)] == wanted
    assert {page.total for page in got} == {5}
    assert [len(page.features) for page in got[:-1]] == [limit] * (len(got) - 1)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_a_scan_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """A call looks at so many features, and its cursor continues after them, also where none has the text."""
    monkeypatch.setattr(text_search, "BATCH", 2)
    monkeypatch.setattr(text_search, "SCANNED", 4)
    add(database, 5)
    wanted = add(database, 3, description="cache")
    add(database, 8)
    got = pages(database, "cache", limit)
    assert [one for page in got for one in readings(page.features)] == wanted
    assert got[0].features == []
    assert got[-1].total == 3
    assert len(got) <= 4 + 3


def test_full_rows_have_the_texts(database: Database) -> None:
    """`detail` is that of the ordinary search."""
    add(database, description="the cache")
    (row,) = database.read_now(partial(search_everywhere, text="cache", detail="full")).features
    assert row.description == "the cache"


@pytest.mark.parametrize("cursor", ["1", "x", "1.x", "1.2.3", "-1.0", "1." + "9" * 11])
def test_a_cursor_of_another_list_is_refused(database: Database, cursor: str) -> None:
    """A cursor comes from an answer of the same search."""
    with pytest.raises(InvalidInput) as refusal:
        database.read_now(partial(search_everywhere, text="x", cursor=cursor))
    assert refusal.value.details["field"] == "cursor"


def test_ascii_is_folded_as_everything_else() -> None:
    """The fast way for ASCII gives what Unicode's rule gives: no character of another form is equal to one of several."""
    for code in range(128):
        assert fold(f"a{chr(code)}b") == fold(f"a{chr(code)}b\u00e9")[:-1]
