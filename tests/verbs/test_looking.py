"""Reads: lists page through everything once; graph, history and statistics are correct."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest

from dibs.database import Database
from dibs.queries import get, graph, history, search, stats, suggestions
from dibs.rules.dependencies import SHOWN_BLOCKERS
from dibs.transfer.importer import import_features
from dibs.verbs import ask_user, outcome, skip, update
from dibs.verbs.verify import take_for_regression
from dibs_schema.answers import Counts, Feature, History, Page, Work, iso
from dibs_schema.evidence import EvidenceFields
from dibs_schema.refusals import InvalidInput, NotFound
from dibs_schema.status import OUTCOMES, TRANSITIONS, Kind, Status
from verbs.stage import (
    REQUEST,
    add,
    alter,
    depend,
    finish,
    imported,
    journal,
    named,
    place,
    readings,
    row,
    rule,
    take,
    token_of,
)


def _search(database: Database, **asked: Any) -> list[int]:
    return readings(database.read_now(partial(search.search, **asked)).features)


def _every_page(database: Database, verb: Any, **asked: Any) -> list[int]:
    """Return the ids on all pages, in order. Every page must have the same total."""
    page: Page = database.read_now(partial(verb, **asked))
    ids = readings(page.features)
    while page.next_cursor is not None:
        assert len(page.features) == asked["limit"]
        following = database.read_now(partial(verb, cursor=page.next_cursor, **asked))
        assert following.total == page.total
        page = following
        ids += readings(page.features)
    assert len(ids) == page.total
    return ids


def test_search_looks_into_name_category_and_reference(database: Database) -> None:
    """A string is found in any of the three, in upper or lower case, and nowhere else."""
    one, two, three = (
        *add(database, name="Log in"),
        *add(database, category="LOGIN page"),
        *add(database, description="login"),
    )
    database.write_now(lambda tx: import_features(tx, [imported("F-login-1", name="other")]))
    assert _search(database, text="log") == [one, two, 4]
    assert _search(database, text="LOGIN") == [two, 4]
    assert _search(database, text="nothing") == []
    assert three not in _search(database, text="log")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Änderung", "änderung"),
        ("Änderung", "ÄNDERUNG"),
        ("СОХРАНИТЬ", "сохранить"),
        ("café", "cafe\u0301"),
        ("cafe\u0301", "café"),
        ("Straße", "STRASSE"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("two  words", "TWO WORDS"),
        ("\uff46ull", "full"),
    ],
)
def test_search_ignores_case_and_form_in_every_script(database: Database, name: str, text: str) -> None:
    """Upper and lower case, composed and decomposed characters and compatible forms are equal."""
    (wanted,) = add(database, name=f"before {name} after")
    (by_category,) = add(database, category=name)
    add(database, name="something else")
    assert _search(database, text=text) == [wanted, by_category]
    assert database.read_now(partial(suggestions.complete_id, typed=text)) == [wanted, by_category]
    assert database.read_now(partial(suggestions.complete_category, typed=text)) == [name]


@pytest.mark.parametrize("text", ["100%", "a_b", "back\\slash", "it's", '"quoted"', "ünïcode", "/"])
def test_search_takes_a_text_literally(database: Database, text: str) -> None:
    """Wildcards, quotes and backslashes stand for themselves."""
    (wanted,) = add(database, name=f"before {text} after")
    add(database, name="1000 axb backXslash its quoted unicode")
    assert _search(database, text=text) == [wanted]


def test_search_narrows_by_status_category_and_agent(database: Database) -> None:
    """Filters combine; an agent's features are those that it holds or has passed."""
    held, passed = place(database, Status.IN_PROGRESS, category="ui"), place(database, Status.PASSING)
    add(database, category="ui")
    assert _search(database, status="in_progress") == [held.id]
    assert _search(database, category="ui") == [held.id, 3]
    assert _search(database, category="ui", status="pending") == [3]
    assert _search(database, agent=held.holder.name) == [held.id]
    assert _search(database, agent=passed.holder.name) == [passed.id]


def test_a_search_brings_texts_only_where_they_are_asked_for(database: Database) -> None:
    """Rows are brief; in full they bring description and steps, cut where they are long, and a cursor for the rest."""
    add(database, description="what to do", steps=["look", "see"])
    (long,) = add(database, description="x" * 5_000, steps=["look"])
    for row_ in database.read_now(search.search).features:
        assert (row_.description, row_.steps, row_.text_cursor) == (None, [], None)
    short, cut = database.read_now(partial(search.search, detail="full")).features
    assert (short.description, short.steps, short.text_cursor) == ("what to do", ["look", "see"], None)
    rest = database.read_now(partial(get.get_by_id, feature=long, cursor=cut.text_cursor))
    assert [f"{cut.description}{rest.description or rest.steps[0]}", rest.steps[-1]] == ["x" * 5_000, "look"]


@pytest.mark.parametrize("limit", [1, 4, 7])
@pytest.mark.parametrize("order", ["priority", "critical_path"])
def test_every_list_pages_through_everything_once(database: Database, order: str, limit: int) -> None:
    """Cursors lead over all rows, each once, in the order of the list."""
    rule(database, order=order)
    ids = add(database, 9)
    for feature, skips, priority in zip(ids, (0, 2, 0, 1, 0, 0, 1, 0, 0), (5, 1, 5, 3, -2, 5, 3, 9, 5), strict=True):
        alter(database, feature, skips=skips, priority=priority)
    blocked = add(database, 5, dependencies=ids[7:])
    assert _every_page(database, search.search, limit=limit) == [*ids, *blocked]
    assert _every_page(database, search.get_blocked, limit=limit) == blocked
    ready = _every_page(database, search.get_ready, limit=limit)
    assert sorted(ready) == ids
    claimed = [take(database, named(f"agent-{n}")).feature.id for n in range(9)]
    assert ready == claimed


CURSORS = [
    "x",
    "",
    "-1",
    "1.5",
    "1:2:3",
    "9" * 11,
    "0x10",
    " 1",
    "1.1.1.1.1.1",
    "1.1.1.x",
    "1.1.1." + "9" * 40,
    "²",
]


@pytest.mark.parametrize("cursor", CURSORS)
def test_a_cursor_that_is_none_is_refused(database: Database, cursor: str) -> None:
    """An invalid cursor is refused with the name of the argument."""
    (feature,) = add(database)
    for verb in (
        partial(search.search, cursor=cursor),
        partial(search.get_ready, cursor=cursor),
        partial(search.get_blocked, cursor=cursor),
        partial(history.get_history, feature=feature, cursor=cursor),
        partial(get.get_by_id, feature=feature, cursor=cursor),
    ):
        if verb.func is history.get_history and cursor == "9" * 11:
            continue  # an event may have such a number
        with pytest.raises(InvalidInput) as caught:
            database.read_now(verb)
        assert caught.value.details["field"] == "cursor"


def test_blocked_says_by_what(database: Database) -> None:
    """Each row names the first unmet dependencies, when a back-off ends, or the status that holds it back."""
    needed = add(database, 7)
    finish(database, needed[0])
    (waiting,) = add(database, dependencies=needed)
    asking, stuck = place(database, Status.NEEDS_HUMAN).id, place(database, Status.STUCK).id
    now = database.write_now(lambda tx: tx.now)
    alter(database, needed[1], not_before=now + 100)
    page = database.read_now(partial(search.get_blocked, limit=100))
    rows = {one.id: one for one in page.features}
    assert list(rows) == [needed[1], waiting, asking, stuck]
    assert rows[waiting].blocked_by == needed[1 : 1 + SHOWN_BLOCKERS]
    ready_at = rows[needed[1]].ready_at
    assert ready_at is not None
    assert ready_at.timestamp() == int(now + 100)
    assert (rows[asking].status, rows[stuck].status) == ("needs_human", "stuck")


def test_ready_and_blocked_and_claimed_are_the_open_board(database: Database) -> None:
    """Every open feature is in exactly one of the three."""
    for status in Status:
        place(database, status)
    (needed,) = add(database)
    add(database, dependencies=[needed])
    ready = _every_page(database, search.get_ready, limit=10)
    blocked = _every_page(database, search.get_blocked, limit=10)
    held = _search(database, status="in_progress")
    closed = _search(database, status="passing") + _search(database, status="archived")
    assert sorted(ready + blocked + held + closed) == _search(database, limit=100)


def test_history_tells_every_event_newest_first(database: Database) -> None:
    """Paging through a history gives each event once, with who, when, what and the moved status."""
    on = place(database, Status.IN_PROGRESS)
    for number in range(5):
        database.write_now(partial(update.add_note, by="ada", feature=on.id, note=f"note {number}"))
    database.write_now(lambda tx: outcome.mark_failing(tx, on.holder.name, on.id, "broke", on.token))
    told: list[Any] = []
    cursor = None
    while True:
        page = database.read_now(partial(history.get_history, feature=on.id, limit=3, cursor=cursor))
        assert page.total == 8
        told += page.events
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [one.kind for one in told] == [event["kind"] for event in reversed(journal(database, on.id))]
    assert (told[0].kind, told[0].from_status, told[0].to_status) == (Kind.FAIL, "in_progress", "pending")
    assert (told[1].detail, told[1].to_status) == ({"note": "note 4"}, None)
    with pytest.raises(NotFound):
        database.read_now(partial(history.get_history, feature=99))


def _shapes(page: History) -> list[Any]:
    """Return the parts of a history: agent, outcome, reason, evidence and whether partial, and the kinds of its events."""
    return [
        (
            part.attempt
            and (
                part.attempt.agent,
                part.attempt.outcome,
                part.attempt.reason,
                part.attempt.evidence,
                part.attempt.partial,
            ),
            [event.kind for event in part.events],
        )
        for part in page.parts
    ]


def _three_attempts(database: Database) -> int:
    """Create a feature, fail it, pass it, report a regression, and claim it again; return its id."""
    (feature,) = add(database)
    token = take(database, named("ada"), feature).claim.token
    database.write_now(partial(update.add_note, by="bob", feature=feature, note="mind the gap"))
    database.write_now(lambda tx: outcome.mark_failing(tx, "ada", feature, "broke", token))
    alter(database, feature, not_before=None)
    token = take(database, named("bob"), feature).claim.token
    database.write_now(lambda tx: outcome.mark_passing(tx, "bob", feature, token, EvidenceFields(summary="works")))
    database.write_now(lambda tx: outcome.report(tx, "eve", feature, "broken again"))
    take(database, named("cy"), feature)
    return feature


def test_history_groups_events_by_attempt(database: Database) -> None:
    """Each attempt has its agent, times, outcome, reason and evidence; its last event leaves these out."""
    feature = _three_attempts(database)
    page = database.read_now(partial(history.get_history, feature=feature))
    assert _shapes(page) == [
        (("cy", None, None, None, False), ["claim"]),
        (None, ["regress"]),
        (("bob", "passed", None, "works", False), ["pass", "claim"]),
        (("ada", "failed", "broke", None, False), ["fail", "note", "claim"]),
        (None, ["create"]),
    ]
    attempt, last = page.parts[3].attempt, page.parts[3].events[0]
    assert attempt is not None
    at = {event["kind"]: iso(event["at"]) for event in journal(database, feature)[:4]}
    times = attempt.wire()
    assert (times["claimed_at"], times["ended_at"]) == (at["claim"], at["fail"])
    assert last.detail is not None
    assert (last.detail["failures"], "reason" in last.detail) == (1, False)
    assert page.parts[1].events[0].detail == {"reason": "broken again"}
    assert page.parts[0].attempt is not None
    assert page.parts[0].attempt.ended_at is None


@pytest.mark.parametrize("limit", range(1, 9))
def test_an_attempt_on_two_pages_says_so_on_both(database: Database, limit: int) -> None:
    """However long the pages are, each part of an attempt tells it whole, and is partial if events are elsewhere."""
    feature = _three_attempts(database)
    whole = {
        part.attempt.agent: part
        for part in database.read_now(partial(history.get_history, feature=feature)).parts
        if part.attempt is not None
    }
    cursor: str | None = None
    told: list[Any] = []
    while True:
        page = database.read_now(partial(history.get_history, feature=feature, limit=limit, cursor=cursor))
        for part in page.parts:
            if part.attempt is not None:
                known = whole[part.attempt.agent]
                partly = len(part.events) < len(known.events)
                assert known.attempt is not None
                assert part.attempt == known.attempt.model_copy(update={"partial": partly})
        told += page.events
        cursor = page.next_cursor
        if cursor is None:
            break
    assert told == database.read_now(partial(history.get_history, feature=feature)).events


def test_a_live_attempt_on_two_pages_has_no_end(database: Database) -> None:
    """The beginning of a live attempt on the second page knows that newer events are on the first."""
    (feature,) = add(database)
    take(database, named("ada"), feature)
    for number in range(3):
        database.write_now(partial(update.add_note, by="bob", feature=feature, note=f"note {number}"))
    first = database.read_now(partial(history.get_history, feature=feature, limit=2))
    second = database.read_now(partial(history.get_history, feature=feature, limit=2, cursor=first.next_cursor))
    assert _shapes(first) == [(("ada", None, None, None, True), ["note", "note"])]
    assert _shapes(second) == [(("ada", None, None, None, True), ["note", "claim"])]


def test_every_end_of_a_claim_is_an_outcome() -> None:
    """Every transition that may end a claim has an outcome, and no other has one."""
    ends = {
        one.kind
        for one in TRANSITIONS
        if Status.IN_PROGRESS in one.sources
        and set(one.targets) != {Status.IN_PROGRESS}
        and one.kind is not Kind.ANSWER
    }
    assert OUTCOMES.keys() == ends


def test_a_look_by_id_tells_all(database: Database) -> None:
    """Dependencies both ways, counters, the holder and the description of one feature."""
    (needed,) = add(database, name="the base")
    on = place(database, Status.PENDING, name="the middle", dependencies=[needed])
    above = add(database, 25, dependencies=[on.id])
    seen = database.read_now(lambda tx: get.get_by_id(tx, on.id))
    assert [(one.id, one.name, one.status) for one in seen.dependencies] == [(needed, "the base", "pending")]
    assert (seen.dependents, seen.dependents_count, seen.unmet_dependencies) == (above[:20], 25, 1)
    assert (seen.description, seen.steps, seen.next_cursor) == ("what it does", ["look at it"], None)
    with pytest.raises(NotFound):
        database.read_now(lambda tx: get.get_by_id(tx, 999))


TEXTS: list[tuple[str, list[str]]] = [
    ("short", []),
    ("x" * 20_000, ["y" * 2_000] * 100),
    ('"\n\\' * 6_666, ['"' * 2_000, "\n" * 2_000, "é" * 2_000]),
    ("😀" * 20_000, ["a"] * 100),
    ("d" * 3_990, ["s" * 10, "t" * 10]),
    ("d" * 3_998, ["s"]),
]


def _put_together(database: Database, beginning: Work | Feature) -> list[str]:
    """Return the description and the steps of feature 1, from the first answer and all pages."""
    parts = [beginning.description or "", *beginning.steps]
    cursor = beginning.next_cursor
    while cursor is not None:
        page = database.read_now(partial(get.get_by_id, feature=1, cursor=cursor))
        pieces = ([page.description] if page.description is not None else []) + page.steps
        if not cursor.endswith(":0"):  # the first piece continues the cut string
            parts[-1] += pieces.pop(0)
        parts += pieces
        cursor = page.next_cursor
    return parts


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_the_pages_of_a_text_put_together_are_the_text(database: Database, number: int) -> None:
    """Following the cursors of a long feature gives its description and steps, whole and in order."""
    description, steps = TEXTS[number]
    one = imported("one", description=description, steps=steps)
    database.write_now(lambda tx: import_features(tx, [one]))
    work = take(database, named("ada"), 1).feature
    assert _put_together(database, work) == [description, *steps]
    seen = database.read_now(lambda tx: get.get_by_id(tx, 1))
    assert _put_together(database, seen) == [description, *steps]


def test_summaries_tell_what_is_missing(database: Database) -> None:
    """Rows come in the order of their ids, each once, and ids that do not exist are listed."""
    one, two = add(database, 2)
    found = database.read_now(lambda tx: get.summaries(tx, [two, 99, one, two, 99]))
    assert (readings(found.features), found.missing) == ([one, two], [99])


def test_the_graph_has_every_node_and_edge(database: Database) -> None:
    """Without a root the graph has all features and dependencies; `cut` is the number of omitted features."""
    one, two, three = add(database, 3)
    depend(database, three, one, two)
    whole = database.read_now(graph.get_graph)
    assert [(node.id, node.depends_on) for node in whole.nodes] == [(one, []), (two, []), (three, [one, two])]
    assert (whole.total, whole.cut) == (3, False)
    part = database.read_now(partial(graph.get_graph, limit=2))
    assert ([node.id for node in part.nodes], part.total, part.cut) == ([one, two], 3, True)


def test_a_root_narrows_the_graph_to_what_it_builds_on(database: Database) -> None:
    """Only what the root depends on, up to the depth, nearest first, and each feature once."""
    base, left, right, top, _ = add(database, 5)
    depend(database, left, base)
    depend(database, right, base)
    depend(database, top, left, right, base)
    below = database.read_now(partial(graph.get_graph, root=top))
    assert [node.id for node in below.nodes] == [top, base, left, right]
    near = database.read_now(partial(graph.get_graph, root=top, depth=0))
    assert ([node.id for node in near.nodes], near.total) == ([top], 1)
    with pytest.raises(NotFound):
        database.read_now(partial(graph.get_graph, root=99))


def test_the_statistics_say_which_counts_are_parts_of_others(database: Database) -> None:
    """Only those that are not zero are named."""
    assert database.read_now(partial(stats.get_stats, database="")).hint is None
    place(database, Status.ARCHIVED)
    add(database)
    hint = database.read_now(partial(stats.get_stats, database="")).hint
    assert hint == "pending includes ready; total includes archived"


def test_a_cut_text_names_the_call_that_continues_it(database: Database) -> None:
    """A claim and a regression test with a long text say which tool takes the cursor."""
    (feature,) = add(database, description="x" * 9_000)
    work = take(database, named("ada"), feature)
    assert work.feature.next_cursor is not None
    assert f'feature_get_by_id with feature_id={feature} and cursor="{work.feature.next_cursor}"' in work.wire()["hint"]
    database.write_now(lambda tx: outcome.mark_passing(tx, "ada", feature, work.claim.token))
    message = database.write_now(lambda tx: take_for_regression(tx, 1)).wire()["message"]
    assert "feature_get_by_id with its id and next_cursor as cursor" in message


@pytest.mark.parametrize("rooted", [True, False])
def test_the_graph_pages_through_everything_once(database: Database, rooted: bool) -> None:
    """The pages have each node once, in one order, with its category and priority; a flowchart has every arrow."""
    base = add(database, 7, category="ui")
    (top,) = add(database, dependencies=base)
    root = top if rooted else None
    ids, arrows, cursor = [], [], None
    while True:
        page = database.read_now(partial(graph.get_graph, limit=3, cursor=cursor, root=root))
        chart = (
            database.read_now(partial(graph.get_graph, limit=3, cursor=cursor, form="mermaid", root=root)).mermaid or ""
        )
        ids += [node.id for node in page.nodes]
        arrows += [line for line in chart.split("\n") if "-->" in line]
        assert (page.total, page.cut) == (8, page.next_cursor is not None)
        assert all((node.category, node.priority) == ("ui", node.id) for node in page.nodes if node.id != top)
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert ids == ([top, *base] if rooted else [*base, top])
    assert sorted(arrows) == [f"  f{one} --> f{top}" for one in base]
    with pytest.raises(InvalidInput):
        database.read_now(partial(graph.get_graph, cursor="7"))


@pytest.mark.parametrize("order", ["priority", "critical_path"])
def test_a_ready_feature_says_why_it_stands_there(database: Database, order: str) -> None:
    """The list names its order once, and each row the reason for its place in at most 40 bytes."""
    rule(database, order=order)
    plain, wanted, skipped = add(database, 3)
    add(database, 2, dependencies=[wanted])
    finished, _ = add(database, 2, dependencies=[plain])
    database.write_now(lambda tx: update.change(tx, "planner", finished, {}, archived=True))
    database.write_now(lambda tx: skip.skip(tx, "ada", skipped, "later"))
    database.write_now(lambda tx: update.change(tx, "planner", wanted, {"priority": -(10**9)}))
    page = database.read_now(search.get_ready)
    assert page.order is not None
    assert page.order.startswith(
        "fewest skips, then " + ("lowest priority" if order == "priority" else "longest chain")
    )
    why = {one.id: one.why for one in page.features}
    chain = "chain of 1; " if order == "critical_path" else ""
    assert why[plain] == f"{chain}priority 1; 1 waits for it"
    assert why[wanted] == f"{chain}priority -1000000000" + ("; 2 wait for it" if not chain else "")
    assert why[skipped] == f"skipped 1x; priority {row(database, skipped)['priority']}"
    assert all(len(text or "") <= 40 for text in why.values())


def test_a_ready_feature_shows_the_files_it_changes(database: Database) -> None:
    """As many whole paths as have room in a row, and how many others there are."""
    many = [f"src/part{number}/**" for number in range(20)]
    (few,), (lots,) = add(database, paths=["src/a.py"]), add(database, paths=many)
    shown = {one.id: one for one in database.read_now(search.get_ready).features}
    assert (shown[few].paths, shown[few].more_paths) == (["src/a.py"], 0)
    assert shown[lots].paths == many[: len(shown[lots].paths)]
    assert shown[lots].paths
    assert shown[lots].more_paths == 20 - len(shown[lots].paths)


def test_a_back_off_is_named_among_what_is_blocked(database: Database) -> None:
    """A pending feature without unmet dependencies says why it is not ready, and until when."""
    (feature,) = add(database)
    token = token_of(database, feature)
    database.write_now(lambda tx: outcome.mark_failing(tx, "ada", feature, "broken", token))
    (one,) = database.read_now(search.get_blocked).features
    assert one.why == "in back-off"
    assert one.ready_at is not None


NAMES = [
    'say "hi"',
    "a]b[c",
    "semi;colon",
    "#hash#quot;",
    "new\nline",
    "</script>",
    "back`tick",
    "pipe|",
    "{curly}",
]


def test_mermaid_cannot_be_broken_by_a_name(database: Database) -> None:
    """Whatever a name holds, each node is one line with one pair of quotes, and each edge one arrow."""
    ids = [add(database, name=name)[0] for name in NAMES]
    (top,) = add(database, dependencies=ids)
    chart = database.read_now(partial(graph.get_graph, form="mermaid")).mermaid
    assert chart is not None
    head, *lines = chart.split("\n")
    assert head == "flowchart TD"
    boxes = [line for line in lines if "-->" not in line]
    assert len(boxes) == len(ids) + 1
    for line in boxes:
        assert re.fullmatch(r'  f\d+\["[^"\n]*"\]', line), line
    assert sorted(line for line in lines if "-->" in line) == sorted(f"  f{one} --> f{top}" for one in ids)


def test_statistics_count_the_project_and_its_groups(database: Database) -> None:
    """Counts and percentage leave archived features out of the whole; groups are by category or agent."""
    passed = place(database, Status.PASSING, category="ui")
    held = place(database, Status.IN_PROGRESS, category="ui")
    place(database, Status.ARCHIVED)
    add(database, 2)
    asked = database.write_now(lambda tx: ask_user.ask_user(tx, "ada", []))
    told = database.read_now(lambda tx: stats.get_stats(tx, "the label", "category"))
    assert told.counts == Counts(ready=2, pending=2, in_progress=1, passing=1, archived=1)
    assert (told.total, told.percent_passing, told.database, told.open_questions) == (
        5,
        25.0,
        "the label",
        asked.question_id,
    )
    assert {group.name: group.counts for group in told.groups} == {
        "core": Counts(ready=2, pending=2, archived=1),
        "ui": Counts(in_progress=1, passing=1),
    }
    agents = database.read_now(lambda tx: stats.get_stats(tx, "the label", "agent")).groups
    assert {group.name: group.counts for group in agents} == {
        held.holder.name: Counts(in_progress=1),
        passed.holder.name: Counts(passing=1),
    }


def test_statistics_of_nothing(database: Database) -> None:
    """An empty project is zero per cent done, and not broken."""
    told = database.read_now(lambda tx: stats.get_stats(tx, "label"))
    assert (told.passing, told.total, told.percent_passing, told.groups) == (0, 0, 0.0, [])
    always = ("passing", "total", "percent_passing")
    assert [told.wire()[name] for name in always] == [0, 0, 0.0]


def test_looking_shows_a_request_only_while_it_is_open(database: Database) -> None:
    """The prompt and the fields are shown while a person is asked."""
    on = place(database, Status.NEEDS_HUMAN)
    seen = database.read_now(lambda tx: get.get_by_id(tx, on.id))
    assert seen.human_request == {
        "prompt": REQUEST["prompt"],
        "fields": [{"id": "colour", "label": "Which colour?"}],
    }
    assert row(database, on.id)["human_request"] == REQUEST
