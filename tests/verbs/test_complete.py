"""Completions of ids, names and categories."""

from __future__ import annotations

from dibs.database import Database
from dibs.queries.suggestions import MOST, complete_category, complete_id
from verbs.stage import add


def test_ids_are_completed_from_digits_and_from_words(database: Database) -> None:
    """Of a feature's id its first digits suffice, or a part of its name; with nothing typed the first are offered."""
    add(database, 130)
    (named,) = add(database, name="Log in with 100% of the keys_")

    def complete(typed: str) -> list[int]:
        return database.read_now(lambda tx: complete_id(tx, typed))

    every = range(1, named + 1)
    assert complete("") == list(every)[:MOST]
    for typed in ("1", "12", "13", "131", "99999999999", "9" * 5_000, "0", "01"):
        assert complete(typed) == [one for one in every if str(one).startswith(typed)], typed
    assert complete("LOG in") == complete("0% of the keys_") == complete("%") == [named]
    assert complete("٣") == []


def test_categories_are_completed_in_any_case(database: Database) -> None:
    """Each category that begins with the typed string is offered once, and wildcards have no special meaning."""
    for category in ("Front end", "front desk", "back end", "100%"):
        add(database, 2, category=category)

    def complete(typed: str) -> list[str]:
        return database.read_now(lambda tx: complete_category(tx, typed))

    assert sorted(complete("FRONT")) == ["Front end", "front desk"]
    assert complete("100%") == ["100%"]
    assert complete("_") == complete("%") == []
    assert sorted(complete("")) == ["100%", "Front end", "back end", "front desk"]
