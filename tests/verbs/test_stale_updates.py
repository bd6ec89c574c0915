"""A planner's change of texts is refused if the feature has changed since the planner read it."""

from __future__ import annotations

from functools import partial

import pytest

from dibs.database import Database
from dibs.queries.get import get_by_id
from dibs.verbs.update import change
from dibs_schema.answers import Acknowledgement
from dibs_schema.operations import Operations, read_arguments
from dibs_schema.refusals import InvalidInput
from dibs_schema.row_version import Version
from verbs.stage import add, alter, named, refused, row, take


def _version(text: str) -> Version:
    """Return a version as the operation reads it from its argument."""
    args = read_arguments(Operations.update, {"feature_id": 1, "name": "new", "unless_changed_since": text})
    assert isinstance(args.unless_changed_since, Version)
    return args.unless_changed_since


def _change(database: Database, feature: int, seen: Version, **texts: str) -> Acknowledgement:
    return database.write_now(lambda tx: change(tx, "meg", feature, texts, seen=seen))


def test_a_change_of_the_version_that_was_read_is_made(database: Database) -> None:
    """The exact number of seconds names the version, and so does the time in an answer."""
    (feature,) = add(database)
    _change(database, feature, _version(repr(row(database, feature)["updated_at"])), name="first")
    shown = database.read_now(lambda tx: get_by_id(tx, feature)).wire()["updated_at"]
    _change(database, feature, _version(shown), name="second")
    assert row(database, feature)["name"] == "second"


@pytest.mark.parametrize(
    "later", [0.001, 1.0, -5.0], ids=["a moment later", "a second later", "the clock was set back"]
)
def test_a_change_of_another_version_is_refused(database: Database, later: float) -> None:
    """Whatever the difference, the refusal names who wrote last, and nothing is changed."""
    (feature,) = add(database)
    seen = row(database, feature)["updated_at"]
    database.write_now(lambda tx: change(tx, "bob", feature, {"name": "bob's"}))
    alter(database, feature, updated_at=seen + later)
    verb = partial(change, by="meg", feature=feature, texts={"name": "meg's"}, seen=_version(repr(seen)))
    refusal = refused(database, InvalidInput, verb)
    assert (refusal.details["field"], refusal.details["id"]) == ("unless_changed_since", feature)
    assert "by bob" in refusal.message
    assert row(database, feature)["name"] == "bob's"


def test_a_claim_is_a_change(database: Database) -> None:
    """A feature that an agent has claimed since is read again first."""
    (feature,) = add(database)
    seen = _version(repr(row(database, feature)["updated_at"]))
    take(database, named("ada"), feature)
    refused(database, InvalidInput, partial(change, by="meg", feature=feature, texts={"name": "new"}, seen=seen))


def test_only_a_change_of_texts_is_guarded(database: Database) -> None:
    """Without a text the argument would do nothing, so it is refused, and so is one that is no time."""
    (feature,) = add(database)
    seen = _version(repr(row(database, feature)["updated_at"]))
    refused(database, InvalidInput, lambda tx: change(tx, "meg", feature, {}, archived=True, seen=seen))
    for text in ("yesterday", "2026-11-30T15:00:00", "7 o'clock"):
        with pytest.raises(InvalidInput, match="unless_changed_since: send the time as it came"):
            _version(text)
