"""The verdict: every check, on one consistent snapshot of the database."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dibs.database import Database
from dibs.database.transaction import Transaction
from dibs.queries.audit import audit
from dibs_proof.checks import invariants as general
from dibs_proof.checks.invariants import Finding
from dibs_proof.checks.journal import read_edges, read_journal, read_statuses
from dibs_proof.demo import checks
from dibs_proof.demo.backlog import Start
from dibs_proof.demo.figures import Figures, figures
from dibs_proof.demo.killing import LATE_CALLS
from dibs_proof.demo.play import Performance


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything that was found, and whether all of it holds.

    `broken_off` says why the play did not reach its end, if it did not; then `log` ends the servers' log.
    """

    findings: list[Finding]
    figures: Figures
    broken_off: str
    log: str = ""

    @property
    def holds(self) -> bool:
        """Whether nothing at all is broken."""
        return not self.broken_off and all(one.holds for one in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The verdict as JSON values."""
        found = {one.name: {"checked": one.checked, "broken": one.broken} for one in self.findings}
        return {"holds": self.holds, "broken_off": self.broken_off, **asdict(self.figures), "checks": found}


def judge(database: Database, start: Start, seen: Performance) -> Verdict:
    """Hold what the clients saw against what the database and its journal say."""
    return database.read_now(lambda tx: _judge(tx, start, seen))


def _judge(tx: Transaction, start: Start, seen: Performance) -> Verdict:
    journal = read_journal(tx)
    records, accident = seen.records, seen.accident
    one_holder = general.one_holder_in_the_journal(journal)
    one_owner = general.one_holder_among_the_clients(records.holdings)
    lost = general.nothing_lost(records.acknowledged, journal)
    findings = [
        one_holder,
        one_owner,
        lost,
        checks.all_done(start.statuses, read_statuses(tx)),
        general.dependencies_respected(journal, read_edges(tx)),
        general.journal_is_unbroken(journal),
        general.counters_agree(audit(tx)),
        checks.taken_over_in_time(accident.victim, accident.taker, seen.lease),
        checks.dead_token_refused(accident.late, expected=len(LATE_CALLS) if accident.victim else 0),
    ]
    doubles = max(len(one_holder.broken), len(one_owner.broken))
    told = figures(len(start.statuses), seen, journal, doubles=doubles, lost=len(lost.broken))
    return Verdict(findings, told, seen.broken_off)
