"""The page of a feature: everything about it, an edit form that refuses a stale save, and a form for each action."""

from __future__ import annotations

import re

import pytest

from board.forms import elements_of, values_of
from board.people import FRAGMENT, Person, alerts
from dibs.database import Database
from dibs.verbs import outcome, review
from dibs.verbs.update import add_note, change
from dibs_schema.evidence import EvidenceFields
from dibs_schema.status import Kind, Status
from verbs.stage import add, alter, depend, finish, journal, named, place, row, rule, take

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)></textarea></svg>{{ 7 * 7 }} javascript:alert(3)"


def test_everything_about_a_feature_is_shown(person: Person, database: Database) -> None:
    """Texts, dependencies both ways with their state, files, evidence, notes, failures, feedback and attempts."""
    base, feature, above = add(database, 3, steps=["open it", "close it\n\nand look"], paths=["src/app"])
    depend(database, feature, base)
    depend(database, above, feature)
    finish(database, base)
    token = take(database, named("ada"), feature).claim.token
    database.write_now(lambda tx: add_note(tx, "bob", feature, "mind the gap"))
    database.write_now(lambda tx: outcome.mark_failing(tx, "ada", feature, "it hangs", token))
    page = person.get(f"/feature/{feature}").text
    for text in ("what it does", "open it", "src/app", "mind the gap", "it hangs", "failed after", "src/app"):
        assert text in page, text
    assert re.search(rf'id="dependency-{base}".*?class="state passing"', page, re.DOTALL)
    assert re.search(rf'id="dependent-{above}".*?class="state pending"', page, re.DOTALL)
    assert token not in page


def test_no_token_is_shown(person: Person, database: Database) -> None:
    """A claimed feature shows its holder, and no page has its token, live or ended."""
    on = place(database, Status.IN_PROGRESS)
    page = person.get(f"/feature/{on.id}").text
    assert on.holder.name in page
    assert on.token is not None
    assert on.token not in page


def test_an_edit_changes_what_was_changed(person: Person, database: Database) -> None:
    """Only the texts that differ from those of the form are written, with the line ends of a browser."""
    (feature,) = add(database, steps=["one\n\ntwo", "three"])
    values = values_of(person.get(f"/feature/{feature}").text, "edit")
    done = person.act("edit", **values | {"description": "first\r\nsecond", "priority": "-5"})
    assert (done.status_code, done.headers["location"]) == (303, f"/feature/{feature}")
    kept = row(database, feature)
    assert (kept["description"], kept["priority"]) == ("first\nsecond", -5)
    assert kept["steps"] == ["one\n\ntwo", "three"]
    assert sorted(journal(database, feature)[-1]["detail"]["fields"]) == ["description", "priority"]
    values = values_of(person.get(f"/feature/{feature}").text, "edit")
    assert person.act("edit", **values | {"steps": "a\r\nb\r\n\r\nc", "paths": "src/a\r\n\r\ndocs"}).status_code == 303
    assert (row(database, feature)["steps"], row(database, feature)["paths"]) == (["a\nb", "c"], ["src/a", "docs"])


@pytest.mark.parametrize("headers", [None, FRAGMENT], ids=["without script", "with script"])
def test_a_stale_save_is_refused_and_shows_both(
    person: Person, database: Database, headers: dict[str, str] | None
) -> None:
    """What an agent wrote since is kept and shown beside the person's text; saving again then overwrites it."""
    (feature,) = add(database)
    values = values_of(person.get(f"/feature/{feature}").text, "edit") | {"description": "the person's"}
    database.write_now(lambda tx: change(tx, "bob", feature, {"description": "the agent's"}))
    refused = person.act("edit", headers, **values)
    assert refused.status_code == 422
    (words,) = alerts(refused.text)
    assert f"Feature {feature} has changed since you read it" in words
    assert "by bob" in words
    assert row(database, feature)["description"] == "the agent's"
    assert "the agent&#39;s" in refused.text
    if headers is None:
        values = values_of(refused.text, "edit")
        assert values["description"] == "the person's"
    else:
        assert refused.text.count('id="edit-seen"') == 1
        values |= dict(re.findall(r'name="((?:was-\w+)|seen)" value="([^"]*)"', refused.text))
    assert person.act("edit", headers, **values).status_code == (303 if headers is None else 200)
    assert row(database, feature)["description"] == "the person's"


def test_each_action_is_its_operation(person: Person, database: Database) -> None:
    """Approve, return, reject, try again, archive, restore, note, dependencies and moves, each by its form."""
    rule(database, verifier="other", back_off=0)
    feature, other = add(database, 2)
    finish(database, feature)
    here = f"/feature/{feature}"

    def act(action: str, form: str, **values: str) -> str:
        """Send the form of the page, and return the kind of the event that it made."""
        before = len(journal(database, feature))
        shown = values_of(person.get(here).text, form)
        done = person.act(action, **shown | values)
        assert done.status_code == 303, alerts(done.text)
        event = journal(database, feature)[before]
        return str(event["kind"])

    assert act("approve", f"approve-{feature}") == Kind.VERIFY
    assert act("return", f"return-{feature}", words="the text is cut off") == Kind.RETURN
    assert "the text is cut off" in person.get(here).text
    finish(database, feature)
    assert act("reject", f"reject-{feature}", words="nobody needs it") == Kind.REJECT
    assert act("retry", f"retry-{feature}") == Kind.RETRY
    assert act("note", f"note-{feature}", words="start with the menu") == Kind.NOTE
    assert act("depend", f"depend-{feature}", dependency=str(other)) == Kind.DEPEND
    assert act("undepend", f"undepend-{other}") == Kind.DEPEND
    assert act("move", f"move-{feature}", before=str(other)) == Kind.UPDATE
    assert act("move", f"move-{feature}", to="end") == Kind.UPDATE
    assert act("archive", f"archive-{feature}") == Kind.ARCHIVE
    assert act("restore", f"restore-{feature}") == Kind.RESTORE
    take(database, named("eve"), feature)
    assert act("free", f"free-{feature}") == Kind.RELEASE


def test_a_refusal_stands_in_its_own_form(person: Person, database: Database) -> None:
    """A dependency that closes a cycle is refused in the operation's own words, at the form that was sent."""
    base, feature = add(database, 2)
    depend(database, feature, base)
    values = values_of(person.get(f"/feature/{base}").text, f"depend-{base}")
    done = person.act("depend", **values | {"dependency": str(feature)})
    assert done.status_code == 409
    shown = re.search(rf'id="depend-{base}-alert"[^>]*>([^<]*)<', done.text)
    assert shown is not None
    assert "already waits for it" in shown[1]


def test_an_unknown_feature_has_no_page(person: Person) -> None:
    """A feature that does not exist is not found, nor is its graph."""
    for path in ("/feature/999999", "/feature/999999/graph", "/feature/0"):
        assert person.get(path).status_code == 404, path


def test_texts_stay_texts(person: Person, database: Database) -> None:
    """Whatever agents write, the pages of a feature have no markup of theirs."""
    base, feature = add(database, 2, name=HOSTILE, category=HOSTILE[:100], description=HOSTILE, steps=[HOSTILE])
    depend(database, feature, base)
    token = take(database, named(HOSTILE[:90]), base).claim.token
    database.write_now(lambda tx: add_note(tx, HOSTILE[:90], base, HOSTILE))
    evidence = {"summary": HOSTILE, "commands": [{"command": HOSTILE, "exit_code": 1}], "commit": HOSTILE[:90]}
    proof = EvidenceFields.model_validate(evidence)
    database.write_now(lambda tx: outcome.mark_passing(tx, HOSTILE[:90], base, token, proof))
    database.write_now(lambda tx: review.return_to_queue(tx, HOSTILE[:90], base, HOSTILE))
    for path in (f"/feature/{base}", f"/feature/{feature}", f"/feature/{feature}/graph", "/list?state=waiting"):
        page = person.get(path).text
        assert "&lt;script&gt;alert(1)" in page, path
        for tag, attributes in elements_of(page):
            assert tag != "img", path
            assert not [name for name in attributes if name.startswith("on") or name == "style"], path
            assert tag != "script" or attributes["src"] == "/static/board.js", path
            assert attributes.get("href", "/").startswith(("/", "#", "data:,")), path
        assert "{{ 7 * 7 }}" in page, path


def test_the_page_shows_what_done_means_and_what_was_proved(person: Person, database: Database) -> None:
    """A feature's page has when it is done and what the verify command proved; the page Now has the project's texts."""
    on = place(database, Status.PASSING, category="core")
    rule(database, instructions="Read docs/style.md.", done_when={"core": "<b>built</b>"}, verify_command="make test")
    proved = {"command": "make <test>", "exit_code": 0, "seconds": 3.0, "tree": "f" * 40}
    alter(database, on.id, evidence={"verification": proved})
    page = person.get(f"/feature/{on.id}").text
    assert "&lt;b&gt;built&lt;/b&gt;" in page
    assert "make &lt;test&gt;" in page
    assert "ffffffffffff" in page
    now = person.get("/").text
    assert "Read docs/style.md." in now
    assert "make test" in now
