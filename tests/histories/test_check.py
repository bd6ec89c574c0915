"""The history checker finds impossible histories, and accepts possible ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dibs_proof.history.check import check
from dibs_proof.history.history import Call, Connection, History, InitialFeature, Interruption
from dibs_proof.history.model import FeatureState
from dibs_proof.history.violations import Violation
from dibs_schema.status import Status
from histories.simulation import Simulation
from races.backlog import times

P, I, D, H, S, A = Status  # noqa: E741 - as in the table of transitions
CLAIM, CLAIM_THIS = "feature_claim_and_get", "feature_mark_in_progress"
PASS, FAIL, SKIP = "feature_mark_passing", "feature_mark_failing", "feature_skip"
RELEASE, SHOW, UPDATE = "feature_clear_in_progress", "feature_get_by_id", "feature_update"
BEAT = "feature_heartbeat"
LEASE = 2.0
AGAIN = {"already_claimed": True}
BATCH = "feature_create_bulk"
CHAIN = [{"name": "save"}, {"name": "show", "depends_on_indices": [0]}]


class Written:
    """A history that is written by hand. Feature 2 depends on feature 1. Times are in seconds."""

    def __init__(self) -> None:
        needs: dict[int, set[int]] = {1: set(), 2: {1}, 3: set()}
        self.history = History(
            start={number: InitialFeature(FeatureState(), frozenset(needs[number])) for number in needs}
        )

    def call(self, who: str, begun: float, ended: float | None, tool: str, answered: Any, **arguments: Any) -> Written:
        """Add a call; `answered` is the answer, a refusal's code, or None if it was lost."""
        self.history.connections.setdefault(who, Connection(who, lease=LEASE))
        answer = {"code": answered} if isinstance(answered, str) else answered
        number = len(self.history.calls) + 1
        call = Call(who, number, tool, arguments, begun, ended, answer, isinstance(answered, str))
        self.history.calls.append(call)
        return self

    def claim(
        self, who: str, begun: float, ended: float | None, feature: int, token: str, attempts: int = 1
    ) -> Written:
        """Add a claim of the next feature, which returned `feature`."""
        return self.call(who, begun, ended, CLAIM, claimed(feature, token, attempts))

    def with_token(
        self, who: str, begun: float, ended: float | None, tool: str, feature: int, token: str, answered: Any
    ) -> Written:
        """Add a call with a token."""
        answered = {"id": feature, "status": answered} if answered in set(Status) else answered
        return self.call(who, begun, ended, tool, answered, feature_id=feature, claim_token=token)

    def adopting(self, who: str, token: str) -> Written:
        """Let the server of `who` be started with a claim's token."""
        self.history.connections[who] = Connection(who, lease=LEASE, claim=token)
        return self

    def testing(self, who: str) -> Written:
        """Let the server of `who` have the role of a tester."""
        self.history.connections[who] = Connection(who, lease=LEASE, role="tester")
        return self

    def begin(self, feature: int, state: FeatureState) -> Written:
        """Set the state of a feature before the first call."""
        self.history.start[feature] = replace(self.history.start[feature], state=state)
        return self

    def happens(self, who: str, change: Any, at: float) -> Written:
        """Add an interruption of a client's server."""
        self.history.connections.setdefault(who, Connection(who, lease=LEASE))
        self.history.connections[who].interruptions.append(Interruption(who, change, at))
        return self

    def found(self) -> list[Violation]:
        """Return what the checker finds."""
        return check(self.history)


def ada_passes_one() -> Written:
    """Return a history in which Ada has claimed and passed feature 1 by second 2."""
    return Written().claim("ada", 0, 1, 1, "t1").with_token("ada", 1.1, 2, PASS, 1, "t1", "passing")


def passed_at_death(claimed_at: float, passing_at: float) -> Written:
    """Ada's server is killed in a pass of feature 1; Bob sees it claimed by another agent, and later passing."""
    return (
        Written()
        .claim("ada", 0, 1, 1, "t1")
        .with_token("ada", 1, None, PASS, 1, "t1", None)
        .happens("ada", "killed", 1.5)
        .call("bob", claimed_at, claimed_at + 1, CLAIM_THIS, "already_claimed", feature_id=1)
        .call("bob", passing_at, passing_at + 1, CLAIM_THIS, "already_passing", feature_id=1)
    )


TRUE: dict[str, Callable[[], Written]] = {
    "a claim and a pass": ada_passes_one,
    "a claim that another server adopts and passes": lambda: (
        Written()
        .adopting("bob", "t1")
        .claim("ada", 0, 1, 1, "t1")
        .call("bob", 2, 3, CLAIM, {**claimed(1, "t1"), **AGAIN})
        .call("bob", 4, 5, PASS, {"id": 1, "status": "passing"}, feature_id=1)
    ),
    "an adopted claim that the adopting server's end releases": lambda: (
        Written()
        .adopting("bob", "t1")
        .claim("ada", 0, 1, 1, "t1")
        .happens("ada", "killed", 1.5)
        .call("bob", 2, 3, CLAIM, {**claimed(1, "t1"), **AGAIN})
        .happens("bob", "closed", 3.2)
        .claim("eve", 3.3, 3.4, 1, "t2", attempts=2)
    ),
    "a brief answer to a repeated claim, which does not say the attempts again": lambda: (
        Written()
        .claim("ada", 0, 1, 1, "t1")
        .call("ada", 1, 2, FAIL, {"status": "pending", "failures": 1}, feature_id=1, claim_token="t1")
        .claim("bob", 32, 33, 1, "t2", attempts=2)
        .call("bob", 34, 35, CLAIM, {**claimed(1, "t2"), **AGAIN, "brief": True}, feature_id=1)
    ),
    "a tester that claims what it has reported": lambda: (
        ada_passes_one()
        .testing("tom")
        .call("tom", 3, 4, FAIL, {"id": 1, "status": "pending"}, feature_id=1, reason="why")
        .call("tom", 5, 6, CLAIM, claimed(1, "t2"), feature_id=1)
        .call("tom", 7, 8, CLAIM, "forbidden", feature_id=3)
    ),
    "a batch that is sent again": lambda: (
        Written()
        .call("ada", 0, 1, BATCH, {"ids": [4, 5], "count": 2}, features=CHAIN)
        .call("bob", 2, 3, BATCH, {"ids": [4, 5], "count": 0, "existing": 2}, features=CHAIN)
        .call("bob", 4, 5, "feature_remove_dependency", {"id": 5}, feature_id=5, dependency_id=4)
        .call("ada", 6, 7, BATCH, {"ids": [4, 5], "count": 0, "existing": 2}, features=CHAIN)
        .claim("ada", 8, 9, 5, "t1")
    ),
    "a claim of a dependent, after the pass": lambda: ada_passes_one().claim("bob", 3, 4, 2, "t2"),
    "a claim of a dependent, during the pass": lambda: ada_passes_one().claim("bob", 1.5, 4, 2, "t2"),
    "a repeated pass": lambda: ada_passes_one().with_token("ada", 3, 4, PASS, 1, "t1", "passing"),
    "a release during the next claim": lambda: (
        Written()
        .claim("ada", 0, 1, 1, "t1")
        .claim("bob", 2, 5, 1, "t2", 2)
        .call("ada", 3, 4, RELEASE, {"status": "pending", "attempts": 1}, feature_id=1, claim_token="t1")
    ),
    "a lost pass that happened": lambda: (
        Written()
        .claim("ada", 0, 1, 1, "t1")
        .with_token("ada", 1, None, PASS, 1, "t1", None)
        .claim("bob", 3, 4, 2, "t2")
    ),
    "a lost pass that did not happen": lambda: (
        Written()
        .claim("ada", 0, 1, 1, "t1")
        .with_token("ada", 1, None, PASS, 1, "t1", None)
        .call("bob", 3, 4, CLAIM_THIS, "already_claimed", feature_id=1)
    ),
    "a lost pass that happened after its server's death": lambda: passed_at_death(2, 5),
    "a lost pass that happened late": lambda: (
        Written()
        .claim("ada", 0, 1, 1, "t1")
        .with_token("ada", 1, None, PASS, 1, "t1", None)
        .call("bob", 3, 4, CLAIM_THIS, "already_claimed", feature_id=1)
        .call("bob", 5, 6, CLAIM_THIS, "already_passing", feature_id=1)
    ),
    "a lost claim that happened": lambda: (
        Written()
        .call("ada", 0, None, CLAIM, None)
        .happens("ada", "killed", 0.5)
        .call("bob", 1, 2, CLAIM_THIS, "already_claimed", feature_id=1)
        .claim("bob", 4, 5, 1, "t2")
    ),
    "a lost claim, counted as an attempt": lambda: (
        Written()
        .call("ada", 0, None, CLAIM, None)
        .happens("ada", "killed", 0.5)
        .call("bob", 4, 5, CLAIM, claimed(1, "t2", attempts=2))
    ),
    "a lost claim, taken back": lambda: (
        Written()
        .call("ada", 0, None, CLAIM, None)
        .call("bob", 1, 2, CLAIM_THIS, "already_claimed", feature_id=1)
        .call("bob", 2, 3, CLAIM, claimed(1, "t2", attempts=1))
    ),
    "a dead holder's claim, a lease later": lambda: (
        Written().claim("ada", 0, 1, 1, "t1").happens("ada", "killed", 1.5).claim("bob", 2.5, 4, 1, "t2", 2)
    ),
    "a claim after its holder hung up": lambda: (
        Written().claim("ada", 0, 1, 1, "t1").happens("ada", "closed", 1.2).claim("bob", 1.1, 1.5, 1, "t2", 2)
    ),
    "a claim that expired while its holder was stopped": lambda: (
        Written()
        .claim("ada", 0, 1, 1, "t1")
        .happens("ada", "stopped", 1)
        .happens("ada", "continued", 5)
        .claim("bob", 4, 5, 1, "t2", 2)
        .with_token("ada", 6, 7, PASS, 1, "t1", "claim_lost")
    ),
    "skips in turn": lambda: (
        Written()
        .call("ada", 0, 1, SKIP, {"status": "pending", "skips": 1, "priority": 4}, feature_id=1)
        .call("ada", 2, 3, SKIP, {"status": "pending", "skips": 1, "priority": 5}, feature_id=3)
    ),
    "skips at the same time": lambda: (
        Written()
        .call("ada", 0, 3, SKIP, {"status": "pending", "skips": 1, "priority": 5}, feature_id=1)
        .call("bob", 1, 2, SKIP, {"status": "pending", "skips": 1, "priority": 4}, feature_id=3)
    ),
    "the same request_id, twice": lambda: (
        Written()
        .call("ada", 0, 1, CLAIM, claimed(1, "t1"), request_id="r")
        .call("ada", 2, 3, CLAIM, claimed(1, "t1"), request_id="r")
    ),
    "the same request_id, its first answer lost": lambda: (
        Written()
        .call("ada", 0, None, CLAIM, None, request_id="r", agent="ada")
        .call("bob", 1, 2, CLAIM_THIS, "already_claimed", feature_id=1)
        .call("eve", 3, 4, CLAIM, claimed(1, "t1"), request_id="r", agent="ada")
    ),
    "a regression, and what waits is refused": lambda: refused_for_one(
        ada_passes_one().call("bob", 3, 4, FAIL, {"status": "pending"}, feature_id=1), 5
    ),
    "complete, when all is passing": lambda: (
        ada_passes_one()
        .call("eve", 1.5, 2.5, "feature_update", {"status": "archived"}, feature_id=2, archived=True)
        .call("eve", 2.5, 3, "feature_update", {"status": "archived"}, feature_id=3, archived=True)
        .call("bob", 2.7, 4, CLAIM, {"state": "complete"})
    ),
    "a claim taken over by its agent": lambda: (
        Written()
        .call("ada", 0, 1, CLAIM, claimed(1, "t1"), agent="ada")
        .call("bob", 2, 3, CLAIM, claimed(1, "t2"), agent="ada", resume=True)
        .with_token("ada", 4, 5, PASS, 1, "t1", "claim_lost")
        .with_token("bob", 4, 5, PASS, 1, "t2", "passing")
    ),
    "a claim from before the first call": lambda: (
        Written()
        .begin(3, FeatureState(I, token="t0", holder="eve", attempts=1))
        .call("bob", 0, 1, CLAIM_THIS, "already_claimed", feature_id=3)
        .claim("ada", 2, 3, 3, "t3", 2)
    ),
    "two claims of one name, one after the other": lambda: (
        Written()
        .call("ada", 0, 1, CLAIM, claimed(1, "t1"), agent="ada")
        .call("bob", 2, 5, CLAIM, claimed(3, "t3"), agent="ada")
        .with_token("ada", 3, 4, PASS, 1, "t1", "passing")
    ),
    "a claim that its connection receives again, with a dependency that broke since": lambda: (
        Written()
        .begin(1, FeatureState(D))
        .claim("ada", 0, 1, 2, "t2")
        .call("bob", 1, 2, FAIL, {"status": "pending"}, feature_id=1)
        .call("ada", 3, 4, CLAIM_THIS, {"id": 2, "status": "in_progress", "token": "t2", **AGAIN}, feature_id=2)
        .call("ada", 4, 5, CLAIM, {**claimed(2, "t2"), **AGAIN}, feature_id=2)
    ),
    "two claims of a connection without a name": lambda: (
        Written().claim("ada", 0, 1, 1, "t1").claim("ada", 2, 3, 3, "t3")
    ),
    "a token left out": lambda: (
        Written().claim("ada", 0, 1, 1, "t1").call("ada", 1, 2, PASS, {"status": "passing"}, feature_id=1)
    ),
    "a pass in which an archiving and a restoring overlap": lambda: (
        Written()
        .call("eve", 2, 6, UPDATE, {"status": "archived"}, feature_id=1, archived=True)
        .call("bob", 3, 4, UPDATE, {"status": "pending"}, feature_id=1, archived=False)
        .claim("ada", 7, 8, 2, "t2")
    ),
    "a dependency that was taken away": lambda: (
        Written()
        .call("eve", 0, 1, "feature_remove_dependency", {"status": "pending"}, feature_id=2, dependency_id=1)
        .claim("ada", 2, 3, 2, "t2")
    ),
    "a restoring whose answer was lost, and what waits is refused": lambda: refused_for_one(
        Written()
        .call("eve", 0, 1, UPDATE, {"status": "archived"}, feature_id=1, archived=True)
        .call("bob", 2, None, UPDATE, None, feature_id=1, archived=False),
        3,
    ),
    "a claim during the back-off, after a planner's retry": lambda: (
        Written()
        .claim("ada", 0, 1, 1, "t1")
        .call("ada", 1.1, 2, FAIL, {"status": "pending", "failures": 1}, feature_id=1, claim_token="t1")
        .call("eve", 3, 4, UPDATE, {"status": "pending"}, feature_id=1, retry=True)
        .claim("bob", 5, 6, 1, "t2")
    ),
    "a repeated failure of what has been archived since": lambda: (
        Written()
        .claim("ada", 0, 1, 1, "t1")
        .call("ada", 1.1, 2, FAIL, {"status": "pending", "failures": 1}, feature_id=1, claim_token="t1")
        .call("eve", 3, 4, UPDATE, {"status": "archived"}, feature_id=1, archived=True)
        .call("ada", 5, 6, FAIL, {"status": "pending", "failures": 1}, feature_id=1, claim_token="t1")
        .claim("bob", 7, 8, 2, "t2")
    ),
    "a repeated pass of what waits for another since": lambda: (
        Written()
        .claim("ada", 0, 1, 3, "t3")
        .call("ada", 1.1, 2, PASS, {"status": "passing"}, feature_id=3)
        .call("eve", 3, 4, "feature_add_dependency", {"status": "passing"}, feature_id=3, dependency_id=2)
        .with_token("ada", 5, 6, PASS, 3, "t3", "passing")
    ),
    "a repeated skip": lambda: (
        Written()
        .claim("ada", 0, 1, 1, "t1")
        .call("ada", 1.1, None, SKIP, None, feature_id=1, claim_token="t1")
        .call("bob", 3, 4, SKIP, {"status": "pending", "skips": 1, "priority": 5}, feature_id=3)
        .call(
            "ada",
            5,
            6,
            SKIP,
            {"status": "pending", "skips": 1, "priority": 4},
            feature_id=1,
            claim_token="t1",
        )
    ),
    "a repeated skip, without its token": lambda: (
        Written()
        .claim("ada", 0, 1, 1, "t1")
        .call("ada", 1.1, None, SKIP, None, feature_id=1, claim_token="t1")
        .call("bob", 3, 4, SKIP, {"status": "pending", "skips": 1, "priority": 5}, feature_id=3)
        .call("ada", 5, 6, SKIP, {"status": "pending", "skips": 1, "priority": 4}, feature_id=1)
    ),
    "a regression of what had failed before": lambda: (
        Written().begin(3, FeatureState(D, failures=2)).call("ada", 0, 1, FAIL, {"status": "pending"}, feature_id=3)
    ),
    "a rest that outlasts a refusal for something else": lambda: (
        Written()
        .begin(2, FeatureState(P, failures=1, backs_off=True))
        .call("bob", 0, 1, CLAIM_THIS, "unmet_dependencies", feature_id=2)
        .claim("ada", 1, 2, 1, "t1")
        .call("ada", 2, 3, PASS, {"status": "passing"}, feature_id=1, claim_token="t1")
        .call("bob", 4, 5, CLAIM_THIS, "not_ready", feature_id=2)
    ),
    "a heartbeat and a release that name an unmet dependency": lambda: blocked_by_one(
        blocked_by_one(two_is_blocked(), 7, BEAT, {"status": "in_progress"}), 9, RELEASE, {"status": "pending"}
    ),
    "a skip at no cost whose answer was lost": lambda: (
        two_is_blocked()
        .call("bob", 7, None, SKIP, None, feature_id=2, claim_token="t2")
        .call("eve", 9, 10, SHOW, {"status": "pending"}, feature_id=2)
    ),
    "a feature that is held back by another on its files": lambda: held_back(
        Written().claim("ada", 0, 1, 1, "t1"), 2, by=1
    ),
    "a failure, and a rest": lambda: (
        Written()
        .claim("ada", 0, 1, 1, "t1")
        .call("ada", 1, 2, FAIL, {"status": "pending", "failures": 1}, feature_id=1, claim_token="t1")
        .call("bob", 3, 4, CLAIM_THIS, "not_ready", feature_id=1)
        .call("bob", 31.5, 32, CLAIM, claimed(1, "t2", attempts=2))
    ),
}


def claimed(feature: int, token: str, attempts: int = 1) -> dict[str, Any]:
    """Return a claim's answer."""
    more = {"attempts": attempts} if attempts > 1 else {}
    return {"state": "claimed", "claim": {"token": token}, "feature": {"id": feature, **more}}


@pytest.mark.parametrize("tale", TRUE.values(), ids=TRUE)
def test_what_can_be_true_is_found_true(tale: Callable[[], Written]) -> None:
    """A possible history, with lost answers and dead holders, has no violation."""
    assert "\n".join(map(str, tale().found())) == ""


FALSE: dict[str, tuple[str, Callable[[], Written]]] = {
    "two hold one feature": (
        "two_holders",
        lambda: Written().claim("ada", 0, 1, 1, "t1").claim("bob", 2, 3, 1, "t2"),
    ),
    "two hold one feature, at the same moment": (
        "two_holders",
        lambda: Written().claim("ada", 0, 2, 1, "t1").claim("bob", 1, 3, 1, "t2"),
    ),
    "another connection receives the claim": (
        "token_twice",
        lambda: (
            Written().claim("ada", 0, 1, 1, "t1").call("bob", 2, 3, CLAIM, {**claimed(1, "t1"), **AGAIN}, feature_id=1)
        ),
    ),
    "a claim is received again after it was passed": (
        "change_lost",
        lambda: ada_passes_one().call("ada", 3, 4, CLAIM, {**claimed(1, "t1"), **AGAIN}, feature_id=1),
    ),
    "a claim that is received again counts as an attempt": (
        "no_order",
        lambda: (
            Written()
            .claim("ada", 0, 1, 1, "t1")
            .call("ada", 2, 3, CLAIM, {**claimed(1, "t1", attempts=2), **AGAIN}, feature_id=1)
        ),
    ),
    "a lost claim explains no second holder": (
        "two_holders",
        lambda: Written().call("eve", 0, None, CLAIM, None).claim("ada", 1, 2, 1, "t1").claim("bob", 3, 4, 1, "t2"),
    ),
    "a dead holder's claim is given away before its lease is over": (
        "two_holders",
        lambda: Written().claim("ada", 0, 1, 1, "t1").happens("ada", "killed", 1).claim("bob", 1.2, 1.8, 1, "t2"),
    ),
    "a holder that was stopped only for a moment loses its claim": (
        "two_holders",
        lambda: (
            Written()
            .claim("ada", 0, 1, 1, "t1")
            .happens("ada", "stopped", 2)
            .happens("ada", "continued", 2.2)
            .claim("bob", 4, 5, 1, "t2")
        ),
    ),
    "a late token passes what another has claimed": (
        "late_token",
        lambda: (
            Written()
            .claim("ada", 0, 1, 1, "t1")
            .happens("ada", "stopped", 1)
            .claim("bob", 4, 5, 1, "t2", 2)
            .with_token("ada", 6, 7, PASS, 1, "t1", "passing")
        ),
    ),
    "a live claim is lost": (
        "live_claim_lost",
        lambda: Written().claim("ada", 0, 1, 1, "t1").with_token("ada", 5, 6, PASS, 1, "t1", "claim_lost"),
    ),
    "an acknowledged pass is gone": ("change_lost", lambda: ada_passes_one().claim("bob", 3, 4, 1, "t2")),
    "an acknowledged pass is not to be seen": (
        "no_order",
        lambda: ada_passes_one().call("bob", 3, 4, SHOW, {"status": "in_progress", "attempts": 1}, feature_id=1),
    ),
    "an acknowledged claim is gone": (
        "no_order",
        lambda: Written().claim("ada", 0, 1, 1, "t1").call("bob", 2, 3, SHOW, {"status": "pending"}, feature_id=1),
    ),
    "a claim of a dependent": ("dependency", lambda: Written().claim("bob", 0, 1, 2, "t2")),
    "a claim of a dependent, before the pass": (
        "dependency",
        lambda: ada_passes_one().claim("bob", 0.2, 0.9, 2, "t2"),
    ),
    "a claim of a dependent, after the regression": (
        "dependency",
        lambda: (
            ada_passes_one().call("eve", 3, 4, FAIL, {"status": "pending"}, feature_id=1).claim("bob", 5, 6, 2, "t2")
        ),
    ),
    "a refusal for a dependency that is met": (
        "dependency",
        lambda: refused_for_one(ada_passes_one(), 3),
    ),
    "a claim of a feature that an answer has reported as unmet": (
        "dependency",
        lambda: (
            Written()
            .call(
                "eve",
                0,
                1,
                "feature_set_dependencies",
                {"status": "pending"},
                feature_id=3,
                dependency_ids=[1],
            )
            .claim("ada", 2, 3, 3, "t3")
        ),
    ),
    "a heartbeat that names no unmet dependency": (
        "dependency",
        lambda: two_is_blocked().call("bob", 7, 8, BEAT, {"status": "in_progress"}, feature_id=2, claim_token="t2"),
    ),
    "a heartbeat that names a met dependency": (
        "dependency",
        lambda: blocked_by_one(ada_passes_one().claim("bob", 3, 4, 2, "t2"), 7, BEAT, {"status": "in_progress"}),
    ),
    "a release at no cost from a dependency that is met": (
        "dependency",
        lambda: blocked_by_one(ada_passes_one().claim("bob", 3, 4, 2, "t2"), 7, RELEASE, {"status": "pending"}),
    ),
    "a release that costs an attempt despite an unmet dependency": (
        "no_order",
        lambda: blocked_by_one(two_is_blocked(), 7, RELEASE, {"status": "pending", "attempts": 1}),
    ),
    "a claim of a dependent, seen before the pass": (
        "no_order",
        lambda: (
            ada_passes_one()
            .claim("bob", 0.1, 5, 2, "t2")
            .call("eve", 0.2, 0.8, SHOW, {"status": "in_progress", "attempts": 1}, feature_id=2)
        ),
    ),
    "a claim is given to another holder before its holder is killed": (
        "two_holders",
        lambda: Written().claim("ada", 0, 1, 1, "t1").claim("bob", 5, 6, 1, "t2", 2).happens("ada", "killed", 10),
    ),
    "a claim is given to another holder long after its holder was stopped": (
        "two_holders",
        lambda: (
            Written()
            .claim("ada", 0, 1, 1, "t1")
            .happens("ada", "stopped", 2)
            .happens("ada", "continued", 5)
            .call("eve", 8, 9, SHOW, {"status": "in_progress", "attempts": 1}, feature_id=1)
            .claim("bob", 10, 11, 1, "t2", 2)
        ),
    ),
    "a lost claim explains nothing before it": (
        "no_order",
        lambda: (
            Written().call("bob", 0, 1, CLAIM_THIS, "already_claimed", feature_id=1).call("ada", 2, None, CLAIM, None)
        ),
    ),
    "a lost claim that was answered when it was repeated explains no other": (
        "no_order",
        lambda: (
            Written()
            .call("ada", 0, None, CLAIM, None, request_id="r", agent="ada")
            .call("ada", 1, 2, CLAIM, claimed(1, "t1"), request_id="r", agent="ada")
            .call("bob", 3, 4, CLAIM_THIS, "already_claimed", feature_id=3)
        ),
    ),
    "a server that was started for one claim returns another": (
        "adopted_other",
        lambda: Written().adopting("bob", "t1").claim("ada", 0, 1, 1, "t1").claim("bob", 2, 3, 3, "t2"),
    ),
    "a tester claims what it has not reported": (
        "unreported",
        lambda: ada_passes_one().testing("tom").call("tom", 3, 4, CLAIM, claimed(3, "t2"), feature_id=3),
    ),
    "a tester is refused what it has reported": (
        "forbidden",
        lambda: (
            ada_passes_one()
            .testing("tom")
            .call("tom", 3, 4, FAIL, {"id": 1, "status": "pending"}, feature_id=1, reason="why")
            .call("tom", 5, 6, CLAIM, "forbidden", feature_id=1)
        ),
    ),
    "a server that may claim everything is refused a claim": (
        "forbidden",
        lambda: Written().call("ada", 0, 1, CLAIM, "forbidden", feature_id=1),
    ),
    "a batch that is sent again is said to be there before it was made": (
        "no_order",
        lambda: (
            Written()
            .call("bob", 0, 1, BATCH, {"ids": [4], "count": 0, "existing": 1}, features=CHAIN[:1])
            .call("ada", 2, 3, BATCH, {"ids": [4], "count": 1}, features=CHAIN[:1])
        ),
    ),
    "an adopted claim is returned after it was overtaken": (
        "change_lost",
        lambda: (
            Written()
            .adopting("bob", "t1")
            .claim("ada", 0, 1, 1, "t1")
            .call("ada", 1.1, 2, RELEASE, {"status": "pending", "attempts": 1}, feature_id=1)
            .claim("eve", 3, 4, 1, "t2", 2)
            .call("bob", 5, 6, CLAIM, {**claimed(1, "t1"), **AGAIN})
        ),
    ),
    "one token for two claims of one feature": (
        "token_twice",
        lambda: (
            Written()
            .claim("ada", 0, 1, 1, "t1")
            .call("ada", 1.1, 2, RELEASE, {"status": "pending", "attempts": 1}, feature_id=1, claim_token="t1")
            .claim("bob", 3, 4, 1, "t1", 2)
        ),
    ),
    "one token for two claims": (
        "token_twice",
        lambda: Written().claim("ada", 0, 1, 1, "t1").claim("bob", 2, 3, 3, "t1"),
    ),
    "complete, while something is open": (
        "complete",
        lambda: ada_passes_one().call("bob", 3, 4, CLAIM, {"state": "complete"}),
    ),
    "two skips to one place": (
        "skip_order",
        lambda: (
            Written()
            .call("ada", 0, 3, SKIP, {"status": "pending", "skips": 1, "priority": 4}, feature_id=1)
            .call("bob", 1, 2, SKIP, {"status": "pending", "skips": 1, "priority": 4}, feature_id=3)
        ),
    ),
    "a skip to a place before an earlier one": (
        "skip_order",
        lambda: (
            Written()
            .call("ada", 0, 1, SKIP, {"status": "pending", "skips": 1, "priority": 5}, feature_id=1)
            .call("bob", 2, 3, SKIP, {"status": "pending", "skips": 1, "priority": 4}, feature_id=3)
        ),
    ),
    "a claim during the back-off": (
        "back_off",
        lambda: (
            Written()
            .claim("ada", 0, 1, 1, "t1")
            .call("ada", 1, 2, FAIL, {"status": "pending", "failures": 1}, feature_id=1, claim_token="t1")
            .call("bob", 5, 6, CLAIM, claimed(1, "t2", attempts=2))
        ),
    ),
    "a claim during the back-off, after the retry of another feature": (
        "back_off",
        lambda: (
            Written()
            .begin(3, FeatureState(S, failures=3))
            .claim("ada", 0, 1, 1, "t1")
            .call("ada", 1, 2, FAIL, {"status": "pending", "failures": 1}, feature_id=1, claim_token="t1")
            .call("eve", 3, 4, UPDATE, {"status": "pending"}, feature_id=3, retry=True)
            .claim("bob", 5, 6, 1, "t2", attempts=2)
        ),
    ),
    "an attempt that was not counted": (
        "no_order",
        lambda: (
            Written()
            .claim("ada", 0, 1, 1, "t1")
            .call("ada", 1, 2, RELEASE, {"status": "pending", "attempts": 1}, feature_id=1, claim_token="t1")
            .claim("bob", 3, 4, 1, "t2")
        ),
    ),
    "a lost pass that happened long after its server's death": (
        "no_order",
        lambda: passed_at_death(90, 95),
    ),
    "two claims of one name": (
        "too_many",
        lambda: (
            Written()
            .call("ada", 0, 1, CLAIM, claimed(1, "t1"), agent="ada")
            .call("bob", 2, 3, CLAIM, claimed(3, "t3"), agent="ada")
        ),
    ),
    "a feature that is held back by a feature without a holder": (
        "no_order",
        lambda: held_back(ada_passes_one(), 3, by=1),
    ),
    "a feature that is held back, and is claimed itself": (
        "no_order",
        lambda: held_back(Written().claim("ada", 0, 1, 1, "t1").claim("eve", 0, 1, 3, "t3"), 2, by=1),
    ),
    "a feature that was never created": (
        "no_order",
        lambda: Written().call("ada", 0, 1, SHOW, {"status": "pending"}, feature_id=9),
    ),
}


def refused_for_one(tale: Written, at: float) -> Written:
    """Add a claim of feature 2 that is refused because feature 1 is unmet."""
    tale.call("bob", at, at + 1, CLAIM_THIS, "unmet_dependencies", feature_id=2)
    last = tale.history.calls[-1]
    tale.history.calls[-1] = replace(last, answer={"code": "unmet_dependencies", "unmet": [1]})
    return tale


def two_is_blocked() -> Written:
    """Return a history in which Bob has claimed feature 2 and feature 1 is broken since second 6."""
    return ada_passes_one().claim("bob", 3, 4, 2, "t2").call("eve", 5, 6, FAIL, {"status": "pending"}, feature_id=1)


def blocked_by_one(tale: Written, at: float, tool: str, answer: dict[str, Any]) -> Written:
    """Add a call of Bob's about feature 2 whose answer says that feature 1 is unmet."""
    return tale.call("bob", at, at + 1, tool, answer | {"blocked_by": [1]}, feature_id=2, claim_token="t2")


def held_back(tale: Written, at: float, *, by: int) -> Written:
    """Add a claim of feature 3 that is refused because of the files of a claimed feature."""
    tale.call("bob", at, at + 1, CLAIM_THIS, "not_ready", feature_id=3)
    last = tale.history.calls[-1]
    tale.history.calls[-1] = replace(last, answer={"code": "not_ready", "held_by": by, "holder": "ada"})
    return tale


@pytest.mark.parametrize(("kind", "tale"), FALSE.values(), ids=FALSE)
def test_what_cannot_be_true_is_found(kind: str, tale: Callable[[], Written]) -> None:
    """An impossible history has one violation, with its kind and the calls that prove it."""
    found = tale().found()
    print(*found, sep="\n")
    assert [one.kind for one in found] == [kind]
    assert found[0].calls


def test_a_history_that_was_kept_is_judged_the_same(tmp_path: Path) -> None:
    """A history is the same after writing and reading."""
    history = Simulation(1, features=6, clients=4, lost=0.1).run(200)
    history.start[7] = InitialFeature(FeatureState(A, archived_from=P), frozenset({1, 2}))
    history.write(tmp_path / "history.jsonl")
    again = History.read([tmp_path / "history.jsonl"])
    assert sorted(again.calls, key=lambda call: call.number) == sorted(history.calls, key=lambda call: call.number)
    history.calls = again.calls
    assert again == history


@pytest.mark.parametrize("cut", [1, 40, 10_000])
def test_a_line_that_was_cut_off_is_a_call_whose_answer_was_lost(tmp_path: Path, cut: int) -> None:
    """An incomplete last line of a history is ignored."""
    path = tmp_path / "history.jsonl"
    answer = {"id": 1, "status": "pending", "name": "ä" * 6_000}
    Written().call("ada", 0, 1, SHOW, answer, feature_id=1).history.write(path)
    path.write_bytes(path.read_bytes()[:-cut])
    (call,) = History.read([path]).calls
    assert (call.tool, call.ended, call.answer, call.lost) == (SHOW, None, None, True)


@pytest.mark.parametrize("seed", range(times(20, 400)))
def test_histories_that_are_true_by_construction_are_found_true(seed: int) -> None:
    """Simulated histories of random clients, some of which die, have no violation."""
    history = Simulation(seed, features=5 + seed % 4, clients=6, lost=0.04).run(300)
    assert "\n".join(map(str, check(history))) == ""


@pytest.mark.parametrize("lost", [0.02, 0.1])
def test_ten_thousand_calls_are_judged_in_seconds(lost: float) -> None:
    """10,000 calls on 300 features, some hundred of them lost, take less than 10 s, also with one double claim."""
    history = Simulation(5, features=300, clients=32, lost=lost).run(10_000)
    began = time.process_time()
    assert "\n".join(map(str, check(history))) == ""
    claims = [one for one in history.calls if one.tool == CLAIM_THIS and one.answer and not one.refused]
    robbed = claims[len(claims) // 2]
    stolen = {**(robbed.answer or {}), "token": "stolen"}
    soon = robbed.until + 0.0001
    history.calls.append(Call("thief", 1, CLAIM_THIS, robbed.arguments, soon, soon + 0.0001, stolen))
    assert [one.kind for one in check(history)] == ["two_holders"]
    took = time.process_time() - began
    count = sum(call.lost for call in history.calls)
    print(f"{len(history.calls)} calls, {count} of them lost, judged twice in {took:.2f} s")
    assert took < 10
