"""The state of the queue: counts, and why there is nothing to claim."""

from __future__ import annotations

from math import ceil, inf

from sqlalchemy import Double, bindparam, case, func, select

from dibs.database.compiled import hot
from dibs.database.transaction import Transaction
from dibs.queries.open_questions import SHOWN_ASKER, SHOWN_PROMPT, SHOWN_QUESTIONS, first_holding_up
from dibs.rules.conditions import F, backed_off, in_project, is_, leased, literal_text, ready, resting, unblocked
from dibs.rules.dependencies import count_rechecks
from dibs.rules.file_areas import count_held_back
from dibs.rules.pass_requirements import count_unconfirmed
from dibs.rules.questions import count_held_up
from dibs.rules.truncate import truncate
from dibs_schema.answers import Counts, Idle, IdleState, WaitingQuestion
from dibs_schema.folding import fold
from dibs_schema.next_step import Step
from dibs_schema.roles import Role
from dibs_schema.status import Kind, Status
from dibs_schema.tables import events, projects

_E = events.c
LONGEST_RETRY = 45
"""Seconds: the longest wait of a claim. The end of a lease that is renewed says little about the end of its claim."""

# Each count reads one narrow index. The count of pending features is the rest, since no feature is ever deleted.
_counted = {
    "ready": hot(select(func.count()).where(in_project(), ready())),
    "in_progress": hot(select(func.count()).where(in_project(), leased())),
    "passing": hot(select(func.count()).where(in_project(), is_(Status.PASSING))),
}
_resting = hot(select(F.status, func.count().label("n")).where(in_project(), resting(), F.id > 0).group_by(F.status))
_all = hot(select(projects.c.next_feature_id - 1).where(projects.c.id == bindparam("project")))
_in_category = F.category == bindparam("category_")
_by_status_there = select(F.status, func.count().label("n")).where(in_project(), _in_category).group_by(F.status)
_ready_there = _counted["ready"].where(_in_category)
# By the lease clock if that is this machine's: the wall clock may jump.
_by_own_clock = F.lease_ends - bindparam("reading")
_since_return = F.lease_seconds - bindparam("up", type_=Double)  # of the database: see `expired`
_by_wall_clock = F.lease_expires_at - bindparam("now")
_since_jump = F.lease_seconds - bindparam("even", type_=Double)  # of the wall clock
_of_own_clock = F.lease_clock == bindparam("clock")
LEASE_LEFT = case(
    (_of_own_clock & (_since_return > _by_own_clock), _since_return),
    (_of_own_clock, _by_own_clock),
    (_since_jump > _by_wall_clock, _since_jump),
    else_=_by_wall_clock,
)
"""Seconds from now until the lease ends."""
_next_lease_end = hot(select(func.min(LEASE_LEFT)).where(in_project(), leased()))
_next_back_off_end = hot(
    select(func.min(F.not_before - bindparam("now"))).where(in_project(), unblocked(), backed_off())
)

_asked_by = (
    select(_E.agent)
    .where(_E.project_id == F.project_id, _E.feature_id == F.id, _E.kind == literal_text(Kind.ASK))
    .order_by(_E.id.desc())
    .limit(1)
    .scalar_subquery()
)
_questions = (
    select(F.id, F.human_request, _asked_by.label("asked_by"))
    .where(in_project(), resting(), is_(Status.NEEDS_HUMAN), F.id > 0)
    .order_by(F.status, F.id)  # as the index of the resting features
    .limit(SHOWN_QUESTIONS)
)
_categories = select(F.category).where(in_project(), unblocked()).distinct().order_by(F.category)
SHOWN_CATEGORIES = 12

_lease_end_there = hot(_next_lease_end.where(_in_category))
_back_off_end_there = hot(_next_back_off_end.where(_in_category))

_MESSAGES: dict[IdleState, str] = {
    "complete": "Every feature is passing or archived. No work is left; stop.",
    "empty": "The backlog is empty.",
    "waiting_for_claims": "Other agents have claimed every feature that was ready.",
    "waiting_for_back_off": "The remaining features failed recently and are not ready yet.",
    "waiting_for_human": "The remaining features wait for a person's answer. Stop, and tell your user to answer with "
    "`dibs answer`.",
    "stuck": "The remaining features are stuck: they failed, were skipped or were released too often, or were rejected. "
    "Stop, and tell your user.",
    "waiting_for_dependencies": "The remaining features wait for features that nobody can claim. Stop, and tell your user.",
    "waiting_for_confirmation": "Every feature is passing or archived, but some passes wait for another agent's "
    "confirmation. If you are not a tester, stop.",
    "waiting_for_recheck": "Every feature is passing or archived, but some await a recheck, since their dependencies "
    "have changed. If you are not a tester, stop.",
}
_HELD_BACK = "The remaining features may change the same files as features that other agents have claimed."

_TEST = (
    Step("feature_get_for_regression", purpose="to receive a feature", by=Role.TESTER),
    Step("feature_mark_passing", purpose="to confirm it", needs=("feature_id",), by=Role.TESTER),
)
_STEPS: dict[IdleState, tuple[Step, ...]] = {
    "empty": (Step("feature_create_bulk", purpose="to fill it", needs=("features",), by=Role.PLANNER),),
    "stuck": (Step("feature_get_blocked", purpose="to list them", by=Role.PLANNER),),
    "waiting_for_dependencies": (Step("feature_get_blocked", purpose="to see which"),),
    "waiting_for_confirmation": _TEST,
    "waiting_for_recheck": _TEST,
}


def counts(tx: Transaction, category: str | None = None) -> Counts:
    """Return the number of features (in `category`) by status."""
    if category is not None:
        by_status = {row["status"]: row["n"] for row in tx.all(_by_status_there, category_=category)}
        held_back = count_held_back(tx, category)
        parts = {"held_back": held_back, "to_answer": count_held_up(tx, category)}
        return Counts(ready=tx.value(_ready_there, category_=category) - held_back, **parts, **by_status)
    found = {name: tx.value(statement) for name, statement in _counted.items()}
    found["held_back"] = count_held_back(tx)
    found["ready"] -= found["held_back"]
    found["to_answer"] = count_held_up(tx)
    resting = {row["status"]: row["n"] for row in tx.all(_resting)}
    pending = tx.value(_all) - found["in_progress"] - found["passing"] - sum(resting.values())
    return Counts(pending=pending, unconfirmed=count_unconfirmed(tx), to_recheck=count_rechecks(tx), **found, **resting)


def why_idle(tx: Transaction, category: str | None = None) -> Idle:
    """Return the first reason that applies, with counts, and when to call again.

    With `category` the answer is about that category only, and never calls the project complete.
    """
    found = counts(tx, category)
    lease_end, back_off_end = _ends(tx, category, any_claim=found.held_back > 0)
    needs_rechecks = tx.project.settings.rechecks == "required"
    state = _state(found, is_backing_off=back_off_end is not None, needs_rechecks=needs_rechecks)
    message, steps = _MESSAGES[state], _STEPS.get(state, ())
    if state == "complete" and found.to_recheck:
        message += f" Passing features that await a recheck, since their dependencies have changed: {found.to_recheck}."
    if state in ("waiting_for_claims", "waiting_for_back_off"):
        within = {} if category is None else {"category": category}
        steps = (Step("feature_claim_and_get", {**within, "wait_seconds": 45}),)
    questions = _open_questions(tx, category) if state == "waiting_for_human" else []
    if state == "waiting_for_claims" and found.held_back:
        message, steps = _HELD_BACK, (*steps, Step("feature_get_blocked", purpose="to see which"))
    if category is not None and state in ("complete", "empty", "waiting_for_dependencies"):
        steps = (Step("feature_claim_and_get", purpose="without a category"),)
        if state == "waiting_for_dependencies":
            message = f"The remaining features of category {category!r} wait for other features."
        elif found == Counts():
            state = "empty"
            message, steps = _unknown_category(tx, category)
        else:
            state, message = "empty", f"Nothing is left in category {category!r}."
    end = {"waiting_for_claims": lease_end, "waiting_for_back_off": back_off_end}.get(state)
    retry = None if end is None else min(LONGEST_RETRY, max(1, ceil(end)))
    return Idle(state=state, counts=found, retry_after_seconds=retry, questions=questions, message=message, next=steps)


def _open_questions(tx: Transaction, category: str | None) -> list[WaitingQuestion]:
    """Return the first questions that block features (in `category`), truncated."""
    statement = _questions if category is None else _questions.where(_in_category)
    rows = tx.all(statement, **({} if category is None else {"category_": category}))
    requests = [
        WaitingQuestion(
            id=row["id"],
            prompt=truncate((row["human_request"] or {}).get("prompt"), SHOWN_PROMPT) or "",
            asked_by=truncate(row["asked_by"], SHOWN_ASKER),
        )
        for row in rows
    ]
    return [*first_holding_up(tx, SHOWN_QUESTIONS, category), *requests][:SHOWN_QUESTIONS]


def _unknown_category(tx: Transaction, category: str) -> tuple[str, tuple[Step, ...]]:
    """Return what to say about an unknown category, and suggest the one that differs only in spelling."""
    there = [row["category"] for row in tx.all(_categories)]
    same = next((one for one in there if fold(one) == fold(category)), None)
    fact = f"No feature has the category {category!r}."
    if same is not None:
        return fact, (Step("feature_claim_and_get", {"category": same}),)
    names = ", ".join(repr(one) for one in there[:SHOWN_CATEGORIES])
    more = f" and {len(there) - SHOWN_CATEGORIES} more" if len(there) > SHOWN_CATEGORIES else ""
    known = f" The features that can be claimed have the categories {names}{more}." if there else ""
    return fact + known, (Step("feature_claim_and_get", purpose="without a category"),)


def _ends(tx: Transaction, category: str | None, *, any_claim: bool) -> tuple[float | None, float | None]:
    """Return the seconds until the next lease and the next back-off end, in `category`.

    With `any_claim`, leases of other categories count too: their claims may hold features back.
    """
    if category is None:
        return tx.value(_next_lease_end), tx.value(_next_back_off_end)
    lease_end = tx.value(_next_lease_end) if any_claim else tx.value(_lease_end_there, category_=category)
    return lease_end, tx.value(_back_off_end_there, category_=category)


def next_back_off_end(tx: Transaction) -> float | None:
    """Return the seconds until the next back-off ends, or None without a back-off."""
    end: float | None = tx.value(_next_back_off_end)
    return end


def look_ahead(tx: Transaction, category: str | None = None) -> tuple[Idle, float]:
    """Return the state of the queue, and the seconds until a lease or back-off ends, or infinity."""
    ends = [tx.value(_next_lease_end), tx.value(_next_back_off_end)]
    return why_idle(tx, category), min((max(0.0, end) for end in ends if end is not None), default=inf)


def _state(found: Counts, *, is_backing_off: bool, needs_rechecks: bool) -> IdleState:
    if not (found.pending + found.in_progress + found.needs_human + found.stuck):
        return _end_state(found, needs_rechecks=needs_rechecks)
    if found.in_progress or found.held_back:
        return "waiting_for_claims"
    if is_backing_off:
        return "waiting_for_back_off"
    if found.needs_human or found.to_answer:
        return "waiting_for_human"
    return "stuck" if found.stuck else "waiting_for_dependencies"


def _end_state(found: Counts, *, needs_rechecks: bool) -> IdleState:
    """Return the state of a backlog in which every feature is passing or archived, or which is empty."""
    if found.unconfirmed:
        return "waiting_for_confirmation"
    if found.to_recheck and needs_rechecks:
        return "waiting_for_recheck"
    return "complete" if found.passing else "empty"
