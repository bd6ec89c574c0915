"""What a face knows of one call: whether its client still waits, how to ask the person, how to report progress."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dibs_schema.inputs import HumanField, Question

if TYPE_CHECKING:
    from dibs.session.claims import ClaimingJob


@dataclass(frozen=True, slots=True)
class Reply:
    """A person's reply: the answers, or None if they declined to answer."""

    answers: dict[str, Any] | None


class CallContext:
    """A call whose client cannot ask a person and wants no progress. Faces that can do more subclass it."""

    wait_seconds: float | None = None
    """How long a claim waits for work, if that is not bounded by the operation's argument."""
    longest_wait: float = math.inf
    """Seconds that waiting for work and for the database may take together."""
    can_ask = False
    """Whether the client can show a question to its user."""
    asked_question: int | None = None
    """The id of the question whose answer the client brings with a repeated call."""

    def claiming(self, job: ClaimingJob[Any]) -> None:
        """Note the claim that the call is about to make, for a face that may have to take it back."""

    async def is_abandoned(self) -> bool:
        """Whether nobody will receive the answer."""
        return False

    async def report_waiting(self, seconds: float) -> None:
        """Report that the call has been waiting for work for so long."""

    async def ask_fields(self, prompt: str, fields: Sequence[HumanField]) -> Reply | None:  # noqa: ARG002 - nobody to ask
        """Ask the client's user for the fields. Returns None if they did not reply in time."""
        return None

    async def ask_questions(self, questions: Sequence[Question], question: int) -> Reply | None:  # noqa: ARG002 - likewise
        """Ask the client's user the questions stored as `question`. Returns None if they did not reply in time."""
        return None
