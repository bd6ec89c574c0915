"""Change a feature outside its claims: fields, archive and restore, retry, notes."""

from __future__ import annotations

from typing import Any, NoReturn

from sqlalchemy import Double, bindparam, or_, select, update

from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, backed_off, is_, literal, of_feature, this
from dibs.rules.dependencies import block_dependents, blockers, unblock_dependents
from dibs.rules.diagnosis import find
from dibs.rules.events import record
from dibs.rules.file_areas import replace_areas
from dibs.verbs.move import OWN_PLACE
from dibs_schema.answers import Acknowledgement
from dibs_schema.folding import folded
from dibs_schema.next_step import Step
from dibs_schema.refusals import AlreadyClaimed, InvalidInput
from dibs_schema.row_version import Version
from dibs_schema.status import Kind, Status
from dibs_schema.tables import events, features

_stamp: dict[Any, Any] = {F.updated_at: bindparam("now")}

_retry = (
    update(features)
    .where(this(), or_(is_(Status.STUCK), is_(Status.PENDING) & backed_off()))
    .values({F.status: literal(Status.PENDING), F.attempts: 0, F.failures: 0, F.skips: 0, F.not_before: None, **_stamp})
)
_archive = (
    update(features)
    .where(this(), F.status.not_in([Status.IN_PROGRESS.value, Status.ARCHIVED.value]))
    .values({F.archived_from: F.status, F.status: literal(Status.ARCHIVED), **_stamp})
    .returning(F.archived_from)
)
_restore = (
    update(features)
    .where(this(), is_(Status.ARCHIVED))
    .values({F.status: F.archived_from, F.archived_from: None, **_stamp})
    .returning(F.status)
)
_VERSION = "unless_changed_since"
_as_seen = (F.updated_at >= bindparam("start", type_=Double)) & (F.updated_at < bindparam("end", type_=Double))
_last_event = select(events.c.agent, events.c.kind).where(of_feature(events)).order_by(events.c.id.desc()).limit(1)
NO_LONGER_BLOCKS = "Features that depend on it no longer wait for it."
BLOCKS_AGAIN = "Features that depend on it wait until it passes."
NAMES = ("category", "name", "reference")
_names = select(*(F[name] for name in NAMES)).where(this())
# The lock keeps a claim in one statement from changing the status between this read and the event with that status.
_status = select(F.status, F.unmet_dependencies).where(this()).with_for_update(read=True)


def change(
    tx: Transaction,
    by: str,
    feature: int,
    texts: dict[str, Any],
    *,
    archived: bool | None = None,
    retry: bool = False,
    seen: Version | None = None,
) -> Acknowledgement:
    """Change `texts` (category, name, description, steps, priority, paths), archive, restore or retry.

    One call records one event for each kind of change. If `seen` is given, texts are changed only if the feature still
    has that version. Raises NotFound, AlreadyClaimed if a claimed feature is to be archived, and InvalidInput if there
    is no change, if the feature has another version, or for a retry of a feature that is neither stuck nor in its
    back-off.
    """
    if not texts and archived is None and not retry:
        raise InvalidInput(
            "feature_id: the call names nothing to change: a text, the priority, paths, archive, restore or retry.",
            field="feature_id",
        )
    if seen is not None and not texts:
        raise InvalidInput("unless_changed_since: it guards a change of texts, and there is none.", field=_VERSION)
    status = find(tx, feature)["status"]
    changed: list[str] = []
    if texts:
        columns = texts | (folded({**_names_of(tx, feature), **texts}) if texts.keys() & NAMES else {})
        values = {f"new_{name}": value or None if name == "paths" else value for name, value in columns.items()}
        new: dict[Any, Any] = {F[name]: bindparam(f"new_{name}", type_=F[name].type) for name in columns}
        if "priority" in texts:
            new[F.place] = OWN_PLACE
        statement = update(features).where(this()).values({**new, **_stamp}).returning(F.status)
        if seen is not None:
            statement, values = statement.where(_as_seen), values | seen._asdict()
        status = tx.value(statement, feature=feature, **values)  # a claim in one statement may have changed it
        if status is None:
            _refuse_stale(tx, feature)
        if "paths" in texts:
            replace_areas(tx, feature, texts["paths"])
        record(tx, by, Kind.UPDATE, feature, status, status, fields=list(texts))
        changed += texts
    if retry:
        status = _retry_feature(tx, by, feature, status)
        changed.append("retry")
    if archived is not None and archived != (status == Status.ARCHIVED):
        status = _archive_feature(tx, by, feature, status) if archived else _restore_feature(tx, by, feature)
        changed.append("archived")
    return Acknowledgement(
        id=feature,
        status=status,
        changed=changed,
        hint=_dependents(status) if "archived" in changed else None,
    )


def _refuse_stale(tx: Transaction, feature: int) -> NoReturn:
    last = tx.first(_last_event, feature=feature)
    by = f" The last event is the {last['kind']} by {last['agent']}." if last is not None else ""
    raise InvalidInput(
        f"Feature {feature} has changed since you read it.{by} Nothing was changed.",
        next=[Step("feature_get_by_id", {"feature_id": feature}, "to read it again")],
        field=_VERSION,
        id=feature,
    )


def _dependents(status: str) -> str | None:
    """Return how an archive, or a restore to this status, changes the dependents."""
    if status == Status.PASSING:
        return None
    return NO_LONGER_BLOCKS if status == Status.ARCHIVED else BLOCKS_AGAIN


def _names_of(tx: Transaction, feature: int) -> dict[str, Any]:
    row = tx.first(_names, feature=feature)
    assert row is not None, "this transaction has read its status"
    return {name: row[name] for name in NAMES}


def _retry_feature(tx: Transaction, by: str, feature: int, status: str) -> str:
    if not tx.run(_retry, feature=feature):
        raise InvalidInput(
            f"Feature {feature} is {status}; only a stuck feature, or one in its back-off, can be retried.",
            field="retry",
        )
    record(tx, by, Kind.RETRY, feature, status, Status.PENDING)
    return Status.PENDING.value


def _archive_feature(tx: Transaction, by: str, feature: int, status: str) -> str:
    row = tx.first(_archive, feature=feature)
    if row is None:
        raise AlreadyClaimed(
            f"Feature {feature} is claimed, and a claimed feature cannot be archived. Wait until its claim has ended.",
            next=[Step("feature_clear_in_progress", {"feature_id": feature, "force": True}, "to end the claim now")],
            id=feature,
        )
    if row["archived_from"] != Status.PASSING:
        unblock_dependents(tx, feature)
    record(tx, by, Kind.ARCHIVE, feature, status, Status.ARCHIVED)
    return Status.ARCHIVED.value


def _restore_feature(tx: Transaction, by: str, feature: int) -> str:
    row = tx.first(_restore, feature=feature)
    assert row is not None, "this transaction has read its status"
    if row["status"] != Status.PASSING:
        block_dependents(tx, by, feature)
    record(tx, by, Kind.RESTORE, feature, Status.ARCHIVED, row["status"])
    return str(row["status"])


def add_note(tx: Transaction, by: str, feature: int, note: str) -> Acknowledgement:
    """Store a note. A claim of the feature shows the newest ten. Raises NotFound.

    The answer about a claimed feature names its unmet dependencies: its holder may have made the call.
    """
    find(tx, feature)
    row = tx.first(_status, feature=feature)
    assert row is not None, "this transaction has found it"
    status, unmet = row["status"], row["unmet_dependencies"]
    record(tx, by, Kind.NOTE, feature, status, status, note=note)
    blocked = blockers(tx, feature, unmet) if status == Status.IN_PROGRESS else {}
    return Acknowledgement(id=feature, status=status, noted=True, **blocked)
