"""What a project requires of a pass: evidence, and confirmation by another agent."""

from __future__ import annotations

from sqlalchemy import func, select

from dibs.database.compiled import hot
from dibs.database.transaction import Transaction
from dibs.rules.conditions import F, in_project, is_
from dibs.rules.truncate import truncate
from dibs_schema.evidence import EvidenceFields
from dibs_schema.next_step import Step
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Status


def require_evidence_of(
    rule: str, feature: int, evidence: EvidenceFields | None, *, runs_command: bool = False
) -> None:
    """Raise InvalidInput if `evidence` is less than the project's rule requires.

    `summary` requires a summary, `command` a command with exit code 0, which Dibs may run itself (`runs_command`). Only
    the evidence of this pass counts, since earlier evidence is outdated after a regression.
    """
    if rule == "summary" and not (evidence and evidence.summary):
        raise InvalidInput(
            f"This project requires evidence with a summary of how feature {feature} was tested.",
            next=[_pass_again(feature)],
            field="evidence.summary",
            id=feature,
        )
    if (
        rule == "command"
        and not runs_command
        and not (evidence and any(run.exit_code == 0 for run in evidence.commands))
    ):
        raise InvalidInput(
            f"This project requires evidence with a command that tested feature {feature} and had exit code 0.",
            next=[
                _pass_again(feature, "if such a command succeeds"),
                Step(
                    "feature_mark_failing", {"feature_id": feature}, "if the feature does not work", needs=("reason",)
                ),
            ],
            field="evidence.commands",
            id=feature,
        )


def _pass_again(feature: int, purpose: str = "") -> Step:
    return Step("feature_mark_passing", {"feature_id": feature}, purpose, needs=("evidence",))


def evidence_line(evidence: EvidenceFields | None) -> str | None:
    """Return one line of the evidence for the event, or None without evidence."""
    if evidence is None:
        return None
    commands = [f"{run.command} -> {run.exit_code}" for run in evidence.commands]
    return truncate("; ".join(filter(None, [evidence.summary, *commands, evidence.commit])), 500)


_unconfirmed = hot(select(func.count()).where(in_project(), F.unconfirmed_since.is_not(None), is_(Status.PASSING)))


def requires_confirmation(tx: Transaction) -> bool:
    """Return whether another agent must confirm a pass."""
    return tx.project.settings.verifier == "other"


def count_unconfirmed(tx: Transaction) -> int:
    """Return how many passes wait for confirmation, or 0 if the project does not require it."""
    return int(tx.value(_unconfirmed)) if requires_confirmation(tx) else 0
