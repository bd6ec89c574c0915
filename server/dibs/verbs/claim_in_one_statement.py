"""Claim the next feature in one statement, on engines that run transactions concurrently."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Double, Select, bindparam, extract, func, select

from dibs.database.compiled import hot
from dibs.database.project_row import schema_versions
from dibs.database.transaction import Row, Transaction
from dibs.rules.claimant import Holder
from dibs.rules.conditions import literal_text
from dibs.rules.events import with_event
from dibs.verbs.claim import claimed, next_claim
from dibs.verbs.claim_values import claim_parameters
from dibs_schema.answers import Claimed
from dibs_schema.status import Kind, Status
from dibs_schema.tables import HEAD, projects

_P = projects.c

CLOCK_OFF = 2
"""Seconds between both clocks. After the machine has slept, an extrapolated clock would begin an expired lease."""

_as_known = (
    select(_P.id)
    .where(
        _P.id == bindparam("project"),
        _P.generation == bindparam("generation"),
        _P.moved_to.is_(None),
        _P.claim_order == bindparam("order"),
        _P.max_claims_per_connection == bindparam("most"),
        _P.instructions == bindparam("instructions"),
        _P.done_when == bindparam("done_when"),
        func.abs(extract("epoch", func.clock_timestamp()) - bindparam("now", type_=Double)) < CLOCK_OFF,
        select(schema_versions.c.version_num).scalar_subquery() == literal_text(HEAD),
    )
    .exists()
)
"""The project is as this process knows it. Every other transaction checks that when it begins."""


@cache
def one_statement(claim_order: str, *, by_category: bool) -> Select[Any]:
    """Return the guarded UPDATE with its event, and the guard against a project that has changed."""
    statement = next_claim(claim_order, by_category=by_category, autocommit=True).where(_as_known)
    return hot(with_event(statement, Kind.CLAIM, Status.PENDING, Status.IN_PROGRESS))


def claim_in_one_statement(tx: Transaction, holder: Holder, category: str | None = None) -> Claimed | None:
    """Claim the next ready feature (of `category`) for a connection without an agent name.

    Returns None if it claims nothing, for any reason: `claim` then claims, or raises the reason.
    """
    row = claim_row_in_one_statement(tx, holder, category)
    tx.applied = row is not None
    return None if row is None else claimed(tx, holder, row)


def claim_row_in_one_statement(tx: Transaction, holder: Holder, category: str | None = None) -> Row | None:
    """Return the claimed row, or None.

    The limit of an agent name counts the claims of all its connections, which needs the exclusive `claim`.
    """
    if holder.named:
        return None
    statement = one_statement(tx.project.settings.order, by_category=category is not None)
    return tx.first(statement, **one_statement_parameters(tx, holder, category))


def one_statement_parameters(tx: Transaction, holder: Holder, category: str | None = None) -> dict[str, Any]:
    """Return the parameters of the statement: the parameters of a claim, and the project as this process knows it."""
    settings = tx.project.settings
    project = {"generation": tx.project.generation, "order": settings.order}
    project |= {"instructions": settings.instructions, "done_when": settings.row()["done_when"]}
    within = {} if category is None else {"category_": category}
    return {"by": holder.name, **project, **within, **claim_parameters(tx, holder)}
