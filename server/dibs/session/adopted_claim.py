"""The claim that somebody made for this caller. It is the only claim that the caller may have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from dibs.database import VerbJob, WriteJob
from dibs_schema.answers import Acknowledgement, Claimed
from dibs_schema.next_step import Step
from dibs_schema.operations import Operations
from dibs_schema.status import Status

if TYPE_CHECKING:  # the verbs import SQLAlchemy, which is loaded after `initialize` has been answered
    from dibs.database.transaction import Row, Transaction
    from dibs.session.session import Session
    from dibs_schema.answers import Answer
    from dibs_schema.operations import AnyOperation
    from dibs_schema.operations import claims as arguments

T = TypeVar("T")

CLAIMING = (Operations.take, Operations.mark_in_progress)
DONE = "This server was started for this feature alone: your work is done, stop."


class AdoptedClaim:
    """The claim whose `token` a server was started with, and its `feature`, once that is known.

    A server keeps the claim alive from its start. It adopts the claim, and so releases it at its end, with the first
    call that writes: clients start servers only to see whether they work. `is_adopted` says whether that has happened.
    `is_over` is true once nothing can bring the claim back.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self.feature: int | None = None
        self.is_adopted = False
        self.is_over = False

    async def keep_alive(self, session: Session) -> None:
        """Renew the claim's lease, and let the session go on renewing it; regain the claim if its connection has ended."""
        from dibs.verbs.adopt import find_live
        from dibs.verbs.lease import renew

        live = await session.database.read(lambda tx: find_live(tx, self.token))
        if live is None:
            await session.database.write(AdoptionJob(session, self, lambda _, __: None))
            return
        self.found(session, live)
        await session.database.write(VerbJob(partial(renew, tokens=[self.token]), exclusive=False))

    async def join(self, session: Session, operation: AnyOperation) -> None:
        """Adopt the claim before a call that writes, unless this connection has it."""
        if operation.reads or operation in CLAIMING or session.caller.connection is None or self.is_over:
            return
        if not (self.is_adopted and self._is_live(session)):
            await session.database.write(AdoptionJob(session, self, lambda _, __: None))

    async def take(self, session: Session, args: arguments.ClaimFeature) -> Claimed:
        """Return the claim, if the call asks for no other. Raises Forbidden and ClaimLost."""
        from dibs.verbs.claim import claimed

        def answer(tx: Transaction, row: Row) -> Claimed:
            return claimed(tx, session.caller.holder(None), row, already=True)

        return await self._again(session, args.feature_id, args.category, answer)

    async def mark_in_progress(self, session: Session, args: arguments.MarkInProgress) -> Acknowledgement:
        """Return the claim briefly, if the call asks for no other. Raises Forbidden and ClaimLost."""
        from dibs.verbs.claim import mark_in_progress

        def answer(tx: Transaction, row: Row) -> Acknowledgement:
            return mark_in_progress(tx, session.caller.holder(None), args.feature_id, own=row)

        return await self._again(session, args.feature_id, None, answer)

    async def _again(
        self, session: Session, feature: int | None, category: str | None, answer: Callable[[Transaction, Row], T]
    ) -> T:
        """Return the answer to a claim of `feature` or of the next one in `category`, given the adopted claim's row."""
        from dibs.verbs.adopt import refuse_ended_claim, refuse_other_claim, touch

        def verb(tx: Transaction, live: Row | None) -> T:
            if live is None:
                refuse_ended_claim(tx, self.feature, self.token)
            if feature not in (None, live["id"]) or category not in (None, live["category"]):
                refuse_other_claim(live["id"], live["name"])
            return answer(tx, touch(tx, live["id"], self.token))

        if self.is_over:
            return await session.database.read(lambda tx: verb(tx, None))
        return await session.database.write(AdoptionJob(session, self, verb))

    def found(self, session: Session, row: Row) -> None:
        """Remember the live claim, so that the session renews it and calls need no token."""
        self.feature = row["id"]
        session.claims.remember(row["id"], self.token, row["claimed_by"])

    def ended(self, session: Session, row: Row | None) -> None:
        """Remember that the claim has ended. Calls about the feature keep its token, so none can mean another claim."""
        from dibs.verbs.adopt import can_be_regained

        self.is_over = row is None or not can_be_regained(row)
        if row is not None:
            self.feature = row["id"]
            session.claims.remember(row["id"], self.token, session.caller.author)
        session.claims.lose([self.token])

    def steps(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Return the next steps, without steps that claim other features."""
        claiming = [operation.tool for operation in CLAIMING]
        return tuple(
            step
            for step in steps
            if step.operation not in claiming or step.arguments.get("feature_id", 0) == self.feature
        )

    def completed(self, answer: Answer) -> Answer:
        """Return the answer; when it acknowledges the claim's end, it says that nothing else is to be done."""
        if (
            not isinstance(answer, Acknowledgement)
            or answer.id != self.feature
            or answer.status == Status.IN_PROGRESS.value
        ):
            return answer
        return answer.model_copy(update={"hint": f"{answer.hint or ''} {DONE}".lstrip()})

    def _is_live(self, session: Session) -> bool:
        feature = self.feature
        return feature is not None and any(one.token == self.token for one in session.claims.own(feature))


class AdoptionJob(WriteJob[T]):
    """The adoption of a claim by a session, and what `verb` does with the claim's row, or with None if it has ended."""

    def __init__(self, session: Session, adopted: AdoptedClaim, verb: Callable[[Transaction, Row | None], T]) -> None:
        self._session = session
        self._adopted = adopted
        self._verb = verb
        self._live: Row | None = None
        self._ended: Row | None = None

    def run(self, tx: Transaction) -> T:
        """Adopt the claim, or find out how it ended, and run the verb."""
        from dibs.verbs.adopt import adopt, find_ended

        adopted = self._adopted
        self._live = adopt(tx, self._session.caller.holder(None), adopted.token, adopted.feature)
        self._ended = None if self._live is not None else find_ended(tx, adopted.token, adopted.feature)
        return self._verb(tx, self._live)

    def committed(self, result: T) -> None:  # noqa: ARG002 - the rows say it
        """Remember the claim for the calls that follow."""
        if self._live is not None:
            self._adopted.is_adopted = True
            self._adopted.found(self._session, self._live)
        else:
            self._adopted.ended(self._session, self._ended)
