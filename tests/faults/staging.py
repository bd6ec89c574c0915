"""A backlog on which every transition can be made, and bugs to plant in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the dying processes are forked from a process that has opened no database
    from dibs.database import Database

LONG_LEASE = 86_400.0
QUESTION = {"question": "Which?", "header": "Colour", "options": [{"label": "a"}, {"label": "b"}]}
Staged = dict[str, Any]
"""The features by their roles in the tests, and the token of the claimed feature."""


def stage(database: Database, order: str) -> Staged:
    """Make a backlog on which every write is possible, and return its features by role, and the token."""
    from dibs_schema.status import Status
    from verbs.stage import add, depend, finish, named, place, rule, take

    rule(database, order=order)
    passing, claimed, ready, archived, stuck, waiting = (
        add(database, name=name)[0] for name in ("passing", "claimed", "ready", "archived", "stuck", "waiting")
    )
    after_passing, after_claimed, after_both, after_ready, after_archived = add(database, 5, name="waits")
    depend(database, after_passing, passing)
    depend(database, after_claimed, claimed)
    depend(database, after_both, claimed, passing, after_ready)
    depend(database, after_ready, ready)
    depend(database, after_archived, archived)
    finish(database, passing)
    holder = named("ada", lease=LONG_LEASE)
    token = take(database, holder, claimed).claim.token
    _rest(database, archived, stuck, waiting)
    assert place(database, Status.NEEDS_HUMAN).id > waiting
    return {
        "passing": passing,
        "claimed": claimed,
        "ready": ready,
        "archived": archived,
        "stuck": stuck,
        "waiting": waiting,
        "after_ready": after_ready,
        "after_both": after_both,
        "token": token,
        "question": 1,
    }


def _rest(database: Database, archived: int, stuck: int, waiting: int) -> None:
    from dibs.verbs import ask_person, ask_user, skip, update
    from dibs_schema.inputs import Question
    from verbs.stage import REQUEST, token_of

    database.write_now(lambda tx: update.change(tx, "planner", archived, {}, archived=True))
    for _ in range(3):
        database.write_now(lambda tx: skip.skip(tx, "ada", stuck, "cannot be built yet"))
    token = token_of(database, waiting)
    database.write_now(lambda tx: ask_person.request_human_input(tx, "ada", waiting, token, REQUEST))
    asked = [Question.model_validate(QUESTION)]
    database.write_now(lambda tx: ask_user.ask_user(tx, "ada", asked))


def let_expire(database: Database, staged: Staged) -> None:
    from verbs.stage import expire

    expire(database, staged["claimed"])


def let_wait(database: Database, staged: Staged) -> None:
    """Let the passing feature wait for a confirmation."""
    from verbs.stage import alter, rule

    rule(database, verifier="other")
    alter(database, staged["passing"], unconfirmed_since=1.0)


def in_two(database: Database, staged: Staged) -> None:
    from dibs.rules.events import record
    from dibs_schema.status import Kind, Status
    from dibs_schema.tables import features

    ready, number = staged["ready"], features.c.id
    skipped = features.update().where(number == ready).values(status=Status.STUCK.value)
    database.write_now(lambda tx: tx.run(skipped))
    database.write_now(lambda tx: record(tx, "ada", Kind.SKIP, ready, Status.PENDING, Status.STUCK))


def never_committed(database: Database, staged: Staged) -> None:
    from dibs.database.runner import JobRunner
    from dibs.verbs.update import add_note

    def forgotten(jobs: Any, connection: Any, start: Any, verb: Any, **_: Any) -> Any:
        return verb(jobs._transaction(connection, start, writing=True))

    JobRunner._commit = forgotten  # type: ignore[assignment, method-assign]  # the real one commits
    database.write_now(lambda tx: add_note(tx, "ada", staged["ready"], "gone"))
