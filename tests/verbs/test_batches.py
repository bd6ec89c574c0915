"""Batches as language models send them: sent twice, with keys, with mistakes."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.verbs.batch import check_batch
from dibs.verbs.create import create_batch
from dibs.verbs.update import change
from dibs_schema.operations import BY_TOOL, read_arguments
from dibs_schema.refusals import InvalidInput, NotFound, WouldCycle
from races.backlog import assert_sound
from verbs.stage import add, board, journal, place, row


def entry(name: str, **fields: Any) -> dict[str, Any]:
    """Return an entry of a batch."""
    return {"category": "core", "name": name, "description": f"what {name} does", "steps": ["look"], **fields}


BATCH = [
    entry("Änderung speichern", key="save"),
    entry("show", depends_on=["save"]),
    entry("list", depends_on_indices=[0]),
]
EQUAL_NAMES = [
    ("Änderung speichern", "  ÄNDERUNG   SPEICHERN "),
    ("café", "cafe\u0301"),
    ("сохранить", "СОХРАНИТЬ"),
    ("ﬁle", "FILE"),
    ("straße", "STRASSE"),
]


def send(database: Database, *features: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Create a batch as the tool does, and return its answer."""
    ignored: list[str] = []
    args = read_arguments(BY_TOOL["feature_create_bulk"], {"features": list(features), **options}, ignored)
    batch, once_by_name = check_batch(args.features), not args.allow_duplicates
    made = database.write_now(
        lambda tx: create_batch(tx, "planner", batch, once_by_name=once_by_name, partial=args.partial)
    )
    return made.wire() | ({"ignored": ignored} if ignored else {})


def test_a_batch_is_prepared_before_its_transaction(database: Database) -> None:
    """Other servers wait for a transaction: it folds no text, encodes no JSON and compares no globs."""
    entries = [entry(f"feature {number}", paths=[f"src/{number}/**"]) for number in range(50)]
    batch = check_batch(read_arguments(BY_TOOL["feature_create_bulk"], {"features": entries}, []).features)
    called: dict[str, int] = {}

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            module = frame.f_globals.get("__name__", "")
            called[module] = called.get(module, 0) + 1

    def verb(tx: Transaction) -> object:
        sys.setprofile(count)
        try:
            return create_batch(tx, "planner", batch, once_by_name=True)
        finally:
            sys.setprofile(None)

    database.write_now(verb)
    assert called["dibs.verbs.create"], "calls are counted"
    prepared = ("dibs_schema.folding", "dibs_schema.file_areas", "json")
    assert not [module for module in called if module.startswith(prepared)]


def test_a_batch_that_is_sent_again_creates_nothing(database: Database) -> None:
    """The ids of the first time stand in their places, so that a retried call does no harm."""
    first = send(database, *BATCH)
    assert (first["count"], "existing" in first) == (3, False)
    before = board(database)
    again = send(database, *BATCH)
    assert again == {"ids": first["ids"], "count": 0, "existing": 3}
    assert board(database) == before
    more = send(database, *BATCH, entry("export", depends_on=["save"]))
    assert (more["ids"][:3], more["count"], more["existing"]) == (first["ids"], 1, 3)
    assert row(database, more["ids"][3])["unmet_dependencies"] == 1


@pytest.mark.parametrize(("name", "same"), EQUAL_NAMES)
def test_names_are_compared_without_case_and_form(database: Database, name: str, same: str) -> None:
    """Case, spaces and Unicode's composed and decomposed forms make no other feature."""
    (feature,) = send(database, entry(name))["ids"]
    again = send(database, entry(same, category=" CORE "))
    assert (again["ids"], again["count"], again["existing"]) == ([feature], 0, 1)
    assert again["differing"] == [feature]
    assert len(board(database)["features"]) == 1


def test_a_feature_of_another_category_or_an_archived_one_is_no_duplicate(database: Database) -> None:
    """Only a feature of the same category that is not archived stands for an entry."""
    (feature,) = send(database, entry("save"))["ids"]
    assert send(database, entry("save", category="other"))["count"] == 1
    database.write_now(lambda tx: change(tx, "planner", feature, {}, archived=True))
    assert send(database, entry("save"))["count"] == 1


def test_duplicates_are_created_where_that_is_meant(database: Database) -> None:
    """`allow_duplicates` creates every entry."""
    for _ in range(2):
        assert send(database, *BATCH, allow_duplicates=True)["count"] == 3
        assert send(database, entry("one"), allow_duplicates=True)["count"] == 1
    assert len(board(database)["features"]) == 8


def test_equal_entries_of_one_batch_are_one_feature(database: Database) -> None:
    """The second of two equal entries stands for the first."""
    made = send(database, entry("a"), entry("A"), entry("b", depends_on_indices=[1]))
    assert (made["ids"], made["count"], made["existing"]) == ([1, 1, 2], 2, 1)
    assert row(database, 2)["unmet_dependencies"] == 1


def test_a_renamed_feature_is_compared_by_its_new_name(database: Database) -> None:
    """A change of the name is a change of what counts as the same."""
    send(database, entry("old"))
    database.write_now(lambda tx: change(tx, "planner", 1, {"name": "new"}))
    assert send(database, entry("NEW"))["existing"] == 1
    assert send(database, entry("old"))["count"] == 1


def test_entries_name_each_other_by_key_index_and_id(database: Database) -> None:
    """All three kinds of references become dependencies; numbers serve as keys."""
    (there,) = add(database)
    c = entry("c", depends_on=[7, "b"], depends_on_indices=[0], dependencies=[there])
    batch = [entry("a", key=7), entry("b", key="b"), c]
    made = send(database, *batch)
    assert row(database, made["ids"][2])["unmet_dependencies"] == 3


def test_every_mistake_of_a_batch_is_named_at_once(database: Database) -> None:
    """One refusal names each mistake with its place, and nothing is created."""
    before = board(database)
    batch = [
        entry("a", key="x"),
        entry("b", key="x"),
        entry("c", depends_on=["nothing"]),
        entry("d", depends_on_indices=[9]),
        entry("e", dependencies=[99]),
    ]
    with pytest.raises(InvalidInput) as refusal:
        send(database, *batch)
    assert refusal.value.details["fields"] == [f"features[{place}]" for place in (1, 2, 3, 4)]
    for said in (
        "features[0] has the same key",
        "has the key 'nothing'",
        "9 is outside the batch of 5",
        "no feature 99",
    ):
        assert said in refusal.value.fact
    with pytest.raises(InvalidInput) as typed:
        send(database, entry("a", steps=5), entry(""), entry("c", priority="x"))
    assert typed.value.details["fields"] == ["features[0].steps", "features[1].name", "features[2].priority"]
    assert board(database) == before


@pytest.mark.parametrize(
    ("batch", "kind"),
    [
        ([entry("a", depends_on=["b"], key="a"), entry("b", depends_on=["a"], key="b")], WouldCycle),
        ([entry("a", key="a", depends_on=["a"])], WouldCycle),
        ([entry("a", dependencies=[99])], NotFound),
        ([entry("a", depends_on=["a key"])], InvalidInput),
    ],
)
def test_a_single_mistake_keeps_its_own_code(
    database: Database, batch: list[dict[str, Any]], kind: type[Exception]
) -> None:
    """A batch with one mistake is refused with that mistake's code."""
    with pytest.raises(kind):
        send(database, *batch)
    assert board(database)["features"] == []


def test_the_valid_entries_are_created_where_that_is_asked(database: Database) -> None:
    """`partial` creates each entry whole or not at all, and says of the others why not."""
    batch = [
        entry("good", key="good"),
        entry("no steps", key="bad", steps=[]),
        entry("needs a bad one", depends_on=["bad"], key="worse"),
        entry("needs that one", depends_on=["worse"]),
        entry("needs a good one", depends_on=["good"]),
        entry("unknown", dependencies=[99]),
        entry("a", key="a", depends_on=["b"]),
        entry("b", key="b", depends_on=["a"]),
    ]
    made = send(database, *batch, partial=True)
    assert (made["ids"], made["count"]) == ([1, 0, 0, 0, 2, 0, 0, 0], 2)
    assert [one["index"] for one in made["refused"]] == [1, 2, 3, 5, 6, 7]
    assert made["refused"][0]["reason"] == "features[1].steps: needs at least 1 entries."
    assert "no feature 99" in made["refused"][3]["reason"]
    assert row(database, 2)["unmet_dependencies"] == 1
    assert_sound(database)


def test_what_planners_add_is_understood_or_reported(database: Database) -> None:
    """`passes` is the state; keys that mean nothing here are ignored and listed."""
    batch = [entry("done", passes=True, id="F1", status="done"), entry("open", passes=False, depends_on_indices=[0])]
    made = send(database, *batch)
    assert made["ignored"] == ["id", "status"]
    assert [row(database, one)["status"] for one in made["ids"]] == ["passing", "pending"]
    assert row(database, made["ids"][1])["unmet_dependencies"] == 0
    assert journal(database, made["ids"][0])[-1]["to_status"] == "passing"
    assert_sound(database)


def test_partial_is_read_before_the_entries() -> None:
    """Whether invalid entries are kept depends on the call, however `partial` is sent."""
    features = [entry("a", steps=[])]
    for partial in (True, "true"):
        read = read_arguments(BY_TOOL["feature_create_bulk"], {"features": features, "partial": partial}, [])
        assert type(read.features[0]).__name__ == "InvalidEntry"
    with pytest.raises(InvalidInput):
        read_arguments(BY_TOOL["feature_create_bulk"], {"features": features, "partial": False}, [])


def test_a_stuck_feature_stands_for_its_name(database: Database) -> None:
    """A feature counts in every state but archived."""
    from dibs_schema.status import Status

    for status in Status:
        on = place(database, status, name=f"{status} one")
        made = send(database, entry(f"{status} ONE"))
        assert (made["ids"] == [on.id]) == (status is not Status.ARCHIVED)
