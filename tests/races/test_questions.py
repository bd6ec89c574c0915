"""Agents claim while a planner asks about their features, answers and withdraws: nobody gets what waits for an answer."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from dibs.database import Database
from dibs_proof.random_workload import QUESTION
from dibs_schema.refusals import NotWaitingForHuman, WaitingForHuman
from dibs_schema.status import Kind, Status
from races.backlog import SEED, assert_sound, events_of, fill, row, rule, times
from races.servers import ServerClient, StartServer, up

WORKERS = 4
FEATURES = 10
QUESTIONS = times(15, 150)
AT_ONCE = 3
"""The most questions that are open at a time."""
CERTAINLY_SHOWN = 5
"""The latest answers for which a claim has room."""
WITHIN = 240.0


@dataclass
class Talk:
    """What the agents know of each other: the open questions, the answered ones, and whether the planner has finished.

    `brought` has for each worker and feature the answers that each of its claims brought, in order.
    """

    open: list[int] = field(default_factory=list)
    answered: set[int] = field(default_factory=set)
    is_over: threading.Event = field(default_factory=threading.Event)
    brought: dict[tuple[str, int], list[list[int]]] = field(default_factory=lambda: defaultdict(list))
    refused: int = 0
    joined: int = 0


@pytest.mark.timeout(300)
def test_nobody_is_given_a_feature_that_waits_for_an_answer(database: Database, start: StartServer) -> None:
    """By the order of commits, no claim and no pass of a feature falls into the time in which its question is open."""
    fill(database, FEATURES)
    rule(database, "max_attempts", 10_000)
    planner, *workers = up(start("--role", "planner"), *(start("--agent", f"worker-{n}") for n in range(WORKERS)))
    talk, deadline = Talk(), time.monotonic() + WITHIN
    with ThreadPoolExecutor(WORKERS + 1) as pool:
        work = [pool.submit(_plan, planner, talk)]
        work += [pool.submit(_work, one, f"worker-{n}", talk, deadline) for n, one in enumerate(workers)]
        for one in work:
            one.result()

    claims = sum(_replay(database, feature, talk) for feature in range(1, FEATURES + 1))
    assert claims > FEATURES
    assert talk.refused + talk.joined > 0, "some holder has met an open question"
    for feature in range(1, FEATURES + 1):
        there = row(database, feature)
        assert (there["status"], there["unmet_dependencies"]) == (Status.PASSING, 0)
    assert_sound(database)


def _plan(server: ServerClient, talk: Talk) -> None:
    """Ask about some features at a time, and answer or withdraw the questions in any order."""
    chance = random.Random(SEED)
    try:
        for _ in range(QUESTIONS):
            waiting = chance.sample(range(1, FEATURES + 1), chance.randint(1, 3))
            asked = server.call("ask_user", questions=QUESTION, feature_ids=waiting)
            talk.open.append(asked["question_id"])
            time.sleep(chance.uniform(0, 0.1))
            while len(talk.open) >= AT_ONCE:
                _close(server, talk, chance)
        while talk.open:
            _close(server, talk, chance)
    finally:
        talk.is_over.set()


def _close(server: ServerClient, talk: Talk, chance: random.Random) -> None:
    question = talk.open.pop(chance.randrange(len(talk.open)))
    if chance.random() < 0.3:
        server.call("ask_user", question_id=question, cancel=True)
        return
    talk.answered.add(question)
    server.call("feature_answer_human_input", question_id=question, answers={"Way": "Left"})


def _work(server: ServerClient, name: str, talk: Talk, deadline: float) -> None:
    """Claim and give back, wait for a question or pass; when the planner has finished, pass what is left."""
    chance = random.Random(f"{SEED} {name}")
    while (answer := server.call("feature_claim_and_get", wait_seconds=1))["state"] != "complete":
        assert time.monotonic() < deadline, answer
        if answer["state"] != "claimed":
            continue
        work = answer["feature"]
        talk.brought[name, work["id"]].append([one["question_id"] for one in work.get("question_answers", [])])
        mine = {"feature_id": work["id"], "claim_token": answer["claim"]["token"]}
        if not _end(server, mine, talk, chance):
            server.call("feature_clear_in_progress", **mine)


def _end(server: ServerClient, mine: dict[str, Any], talk: Talk, chance: random.Random) -> bool:
    """Return whether the claim ended by a pass, or by the wait for a question that is open."""
    is_over, now_open = talk.is_over.is_set(), [*talk.open]
    if now_open and chance.random() < 0.2:
        refusal = server.refusal("feature_request_human_input", **mine, question_id=now_open[-1])
        assert isinstance(refusal, NotWaitingForHuman | None), refusal
        talk.joined += refusal is None
        return refusal is None
    if not is_over and chance.random() < 0.8:
        return False
    refusal = server.refusal("feature_mark_passing", **mine)
    assert isinstance(refusal, WaitingForHuman | None), refusal
    talk.refused += refusal is not None
    return refusal is None


def _replay(database: Database, feature: int, talk: Talk) -> int:
    """Replay a feature's events, in the order of their commits: its lock is held from each event to its commit."""
    waits_for: set[int] = set()
    answered: list[int] = []
    claims: dict[str, int] = defaultdict(int)
    for event in events_of(database, feature):
        question: Any = (event["detail"] or {}).get("question")
        if event["kind"] in (Kind.UNMET, Kind.ASK):
            waits_for.add(question)
        elif event["kind"] == Kind.MET:
            waits_for.remove(question)
            answered += [question] if question in talk.answered else []
        elif event["kind"] in (Kind.CLAIM, Kind.PASS):
            assert not waits_for, f"{event['kind']} of feature {feature} while questions {waits_for} are open"
        if event["kind"] == Kind.CLAIM:
            brought = talk.brought[event["agent"], feature][claims[event["agent"]]]
            claims[event["agent"]] += 1
            assert {*answered[-CERTAINLY_SHOWN:]} <= {*brought} <= talk.answered
    assert not waits_for
    return sum(claims.values())
