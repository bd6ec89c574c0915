"""Test set-up: features in any state, holders, and checks of the changes of a verb."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import pytest
from sqlalchemy import Table, func, select, update

from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.queries.audit import audit
from dibs.rules.claimant import Holder
from dibs.transfer.formats.backlog import ImportedFeature
from dibs.verbs import ask_person, ask_user, claim, create, outcome, project_settings, skip
from dibs.verbs import depend as edges
from dibs.verbs.update import change
from dibs_schema.answers import Claimed
from dibs_schema.inputs import HumanField, NewFeature, Question
from dibs_schema.refusals import Refusal
from dibs_schema.status import Status
from dibs_schema.tables import dependencies, events, features, questions, requests, waits

RefusalT = TypeVar("RefusalT", bound=Refusal)

NEVER_ISSUED = "0000000000000"
"""A token that no claim has."""

FIELDS = [HumanField(id="colour", label="Which colour?")]
REQUEST = ask_person.new_request("Please decide.", FIELDS)
REPLY = {"colour": "blue"}
QUESTION = Question.model_validate({"question": "Which port?", "header": "Port", "options": ["80", "8080"]})
PORT = {"Port": "8080"}

PAST = {
    features: ("claimed_at", "last_activity_at", "passed_at", "created_at", "updated_at", "unconfirmed_since"),
    events: ("at",),
    questions: ("asked_at",),
}
"""The columns with the times of what happened."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A feature that was brought into a status, with the `holder` and the `token` of its claim, if it has one."""

    id: int
    status: Status
    holder: Holder
    token: str | None = None


def named(name: str, *, session: str | None = None, lease: float = 120.0) -> Holder:
    """Return an agent with an explicit name."""
    return Holder(name=name, named=True, session=session, lease=lease)


def nameless(session: str, *, lease: float = 120.0) -> Holder:
    """Return a connection without an agent name."""
    return Holder(name=f"client-{session[:4]}", named=False, session=session, lease=lease)


def new(name: str = "a feature", **fields: Any) -> NewFeature:
    """Return a feature to be created."""
    texts = {"category": "core", "description": "what it does", "steps": ["look at it"]}
    return NewFeature.model_validate({"name": name, **texts, **fields})


def imported(reference: str, **fields: Any) -> ImportedFeature:
    """Return a feature as an import creates it, with the fields that its status needs."""
    status = fields.setdefault("status", Status.PENDING)
    if status is Status.ARCHIVED:
        fields.setdefault("archived_from", Status.PENDING)
    if status is Status.NEEDS_HUMAN:
        fields.setdefault("human_request", REQUEST)
    texts = {"category": "core", "name": reference, "description": "what it does", "steps": [], "priority": 1}
    return ImportedFeature(path="features[0]", reference=reference, **{"dependencies": [], **texts, **fields})


def add(database: Database, count: int = 1, **fields: Any) -> list[int]:
    """Create `count` features at the end of the queue and return their ids."""
    batch = [new(**fields) for _ in range(count)]
    return database.write_now(lambda tx: create.create_bulk(tx, "planner", batch)).ids


def take(database: Database, holder: Holder, feature: int | None = None, **asked: Any) -> Claimed:
    """Claim a feature, which must be possible, and return the claim."""
    answer = database.write_now(lambda tx: claim.claim(tx, holder, feature, **asked))
    assert isinstance(answer, Claimed), answer
    return answer


def token_of(database: Database, feature: int, name: str = "ada") -> str:
    """Claim a feature under a separate agent name, and return the token."""
    return take(database, named(f"{name}-{feature}"), feature).claim.token


def finish(database: Database, feature: int) -> None:
    """Claim a feature and pass it."""
    token = token_of(database, feature)
    database.write_now(lambda tx: outcome.mark_passing(tx, "ada", feature, token))


def place(database: Database, status: Status, **fields: Any) -> Placed:
    """Create a feature and bring it into `status` by transitions."""
    (feature,) = add(database, **fields)
    holder = named(f"ada-{feature}", session=f"session-{feature}")
    if status is Status.PENDING:
        return Placed(feature, status, holder)
    if status is Status.STUCK:
        for _ in range(3):
            database.write_now(lambda tx: skip.skip(tx, "ada", feature, "cannot be built yet"))
        return Placed(feature, status, holder)
    if status is Status.ARCHIVED:
        database.write_now(lambda tx: change(tx, "planner", feature, {}, archived=True))
        return Placed(feature, status, holder)
    token = take(database, holder, feature).claim.token
    if status is Status.PASSING:
        database.write_now(lambda tx: outcome.mark_passing(tx, holder.name, feature, token))
        return Placed(feature, status, holder)
    if status is Status.NEEDS_HUMAN:
        database.write_now(lambda tx: ask_person.request_human_input(tx, holder.name, feature, token, REQUEST))
        return Placed(feature, status, holder)
    return Placed(feature, status, holder, token)


def depend(database: Database, feature: int, *needed: int) -> None:
    """Let a feature depend on others."""
    database.write_now(lambda tx: edges.set_dependencies(tx, "planner", feature, list(needed)))


def rule(database: Database, **values: Any) -> None:
    """Change settings of the project."""
    for name, value in values.items():
        database.write_now(partial(project_settings.change_setting, by="planner", name=name, value=value))


def alter(database: Database, feature: int, **columns: Any) -> None:
    """Write columns of a feature directly, as if time had passed or another machine had written."""
    statement = update(features).where(features.c.id == feature).values(**columns)
    database.write_now(lambda tx: tx.run(statement.where(features.c.project_id == tx.project.id)))


def age(database: Database, seconds: float) -> None:
    """Let everything so far have happened that much earlier. Leases stay as they are."""

    def move(tx: Transaction) -> None:
        for table, names in PAST.items():
            values = {table.c[name]: table.c[name] - seconds for name in names}
            tx.run(update(table).where(table.c.project_id == tx.project.id).values(values))

    database.write_now(move)


def ask_question(database: Database, *waiting: int, by: str = "planner") -> int:
    """Ask the user a question for which features wait, and return its number."""
    return database.write_now(lambda tx: ask_user.ask_user(tx, by, [QUESTION], waiting)).question_id


def expire(database: Database, feature: int) -> None:
    """Let the lease of a claimed feature have run out."""
    alter(database, feature, lease_ends=0.0, lease_expires_at=0.0, lease_seconds=0.001)


def row(database: Database, feature: int) -> dict[str, Any]:
    """Return a feature's row in the table."""
    return next(one for one in _rows(database, features, features.c.id) if one["id"] == feature)


def journal(database: Database, feature: int | None = None) -> list[dict[str, Any]]:
    """Return the events of one feature, or of the project, in order."""
    written = _rows(database, events, events.c.id)
    return [one for one in written if feature is None or one["feature_id"] == feature]


def board(database: Database) -> dict[str, Any]:
    """Return all rows that a refused call must not change."""
    return {
        "features": _rows(database, features, features.c.id),
        "dependencies": _rows(database, dependencies, dependencies.c.feature_id, dependencies.c.dependency_id),
        "questions": _rows(database, questions, questions.c.id),
        "waits": _rows(database, waits, waits.c.question_id, waits.c.feature_id),
        "requests": _rows(database, requests, requests.c.scope, requests.c.request_id),
        "events": _count(database, events),
    }


def is_sound(database: Database) -> bool:
    """Return whether an audit finds no difference."""
    return not database.read_now(audit).unsound


def refused(database: Database, kind: type[RefusalT], verb: Callable[[Transaction], object]) -> RefusalT:
    """Run a verb that must be refused and change nothing, and return the refusal."""
    before = board(database)
    with pytest.raises(kind) as caught:
        database.write_now(verb)
    assert board(database) == before, "a refused move changed something"
    return caught.value


def readings(found: Iterable[Any]) -> list[int]:
    """Return the ids in a list of features."""
    return [one.id for one in found]


def _rows(database: Database, table: Table, *order: Any) -> list[dict[str, Any]]:
    def look(tx: Transaction) -> list[dict[str, Any]]:
        return [dict(one) for one in tx.all(select(table).where(table.c.project_id == tx.project.id).order_by(*order))]

    return database.read_now(look)


def _count(database: Database, table: Table) -> int:
    counted = select(func.count()).select_from(table)
    return int(database.read_now(lambda tx: tx.value(counted.where(table.c.project_id == tx.project.id))))
