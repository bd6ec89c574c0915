"""Copies a project, and dies by SIGKILL at a chosen moment: python -m transfer.copy.killed_copy SOURCE TARGET MOMENT."""

from __future__ import annotations

import sys
from itertools import count

from dibs.settings import Settings
from dibs.transfer.bulk import BulkDatabase, BulkTransaction
from dibs.transfer.copy import copy_project
from faults.points import Death

STEPS = ("the copy is written", "the source is marked", "the copy is live")
MOMENTS = (
    "while copying",
    "while comparing",
    *(f"{when} {step}" for step in STEPS for when in ("before", "after")),
)
"""The moments before and after the three commits of a copy."""


def main(source: str, target: str, moment: str) -> None:
    """Copy, and die at the given moment."""
    commit, number, death = BulkTransaction.commit, count(), Death(moment)

    def dying_commit(tx: BulkTransaction) -> None:
        step = STEPS[next(number)]
        death.come(f"before {step}")
        commit(tx)
        death.come(f"after {step}")

    BulkTransaction.commit = dying_commit  # type: ignore[assignment, method-assign]  # the real one, with a death before or after
    copy_project(
        BulkDatabase(Settings(db=source)),
        BulkDatabase(Settings(db=target)),
        with_claims=True,
        progress=lambda what, *_: death.come(f"while {what}"),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
