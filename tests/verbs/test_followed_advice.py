"""A caller that makes the calls which refusals name, and no others, never comes round in a circle.

The caller of every role, with a name and without, starts with every operation on a feature in every situation. It takes
the first step of a refusal that it can take, and each of the others in a walk of its own. When it has a claim, it passes
it; when it has given one back, it claims. A walk ends with an answer that says what to do, or with a refusal whose step
only another role can take. It fails if the caller makes the same call twice in the same state of the backlog.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from dibs.database import Database, open_database
from dibs.session.caller import Caller
from dibs.session.issued_tokens import IssuedTokens
from dibs.session.session import Session
from dibs.settings import Settings
from dibs.verbs import lease, outcome
from dibs_schema.answers import Acknowledgement, Answer, Claimed, Idle
from dibs_schema.next_step import Step
from dibs_schema.operations import BY_TOOL, offered, read_arguments
from dibs_schema.refusals import InvalidInput, Refusal
from dibs_schema.roles import Role
from dibs_schema.status import Status
from dibs_schema.tables import metadata
from foreign import connected
from verbs.stage import add, alter, depend, expire, finish, named, new, place, rule, take, token_of

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.only_on("sqlite", reason="refusals are the same on each engine; tests/tools has them on both"),
]

CLAIM, PASS, RELEASE = "feature_claim_and_get", "feature_mark_passing", "feature_clear_in_progress"
LONGEST = 8
"""The most calls of a walk."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The event loop of the sessions."""
    return "asyncio"


@pytest.fixture
def database(db: str) -> Iterator[Database]:
    """An open database of this test alone, whose rows it can put back."""
    with closing(open_database(Settings(db=db))) as opened:
        yield opened


class Rows:
    """All rows of a database, which can be put back."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        connection.execute("PRAGMA foreign_keys = OFF")
        self._rows = {one.name: connection.execute(f"SELECT * FROM {one.name}").fetchall() for one in TABLES}

    def put_back(self) -> None:
        """Restore every row as it was."""
        self._connection.execute("BEGIN IMMEDIATE")
        for name, rows in self._rows.items():
            self._connection.execute(f"DELETE FROM {name}")
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                self._connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
        self._connection.execute("COMMIT")

    def state(self) -> str:
        """Return what a claim, an outcome or a planner's change alters, without tokens, times and counters."""
        return repr([self._connection.execute(query).fetchall() for query in STATE])


STATE = (
    "SELECT status, claimed_by, claim_session FROM features ORDER BY id",
    "SELECT feature_id, dependency_id FROM dependencies ORDER BY 1, 2",
    "SELECT id, answers IS NULL FROM questions ORDER BY id",
)
TABLES = metadata.sorted_tables


@dataclass
class Agent:
    """A caller on a connection of its own, with what only it knows."""

    database: Database
    role: Role
    name: str | None
    session: Session = field(init=False)
    token: str | None = None

    def __post_init__(self) -> None:
        settings = Settings(db="unused", role=self.role, agent=self.name)
        caller = Caller.on_connection(settings, "caller's connection")
        self.session = Session(self.database, settings, caller, IssuedTokens())

    def again(self) -> Agent:
        """Return the same caller as it is now, who remembers its claims."""
        agent = Agent(self.database, self.role, self.name, token=self.token)
        for one in self.session.claims.own(1), self.session.claims.own(2):
            for claim in one:
                agent.session.claims.remember(claim.feature, claim.token, claim.name, CLAIM)
        return agent

    async def call(self, step: Step) -> Answer:
        """Make a call, and remember the token of a claim."""
        operation = BY_TOOL[step.operation or ""]
        answer = await self.session.perform(operation, read_arguments(operation, step.arguments))
        if isinstance(answer, Claimed):
            self.token = answer.claim.token
        return answer

    async def holds(self, feature: int) -> None:
        """Claim a feature as a coder, whatever the caller's role is."""
        settings = self.session.settings
        self.session.settings = settings.model_copy(update={"role": Role.ALL})
        await self.call(Step(CLAIM, {"feature_id": feature}))
        self.session.settings = settings

    def filled(self, step: Step, before: Step) -> Step | None:
        """Return the call that a step means, or None if this caller cannot make it."""
        name = None if "a name of your own" in step.purpose else self.name
        known = {**VALUES, "agent": name or "newcomer", "claim_token": self.token, "feature_id": 1}
        needed = {name: known[name] for name in step.needs}
        if None in needed.values():
            return None
        if step.operation is None:
            return replace(before, arguments={**before.arguments, **needed})
        return Step(step.operation, {**step.arguments, **needed})


VALUES: dict[str, Any] = {
    "answers": {"colour": "red"},
    "dependency_id": 3,
    "evidence": {"summary": "12 tests pass", "commands": [{"command": "make test", "exit_code": 0}]},
    "features": [new().model_dump()],
    "questions": [{"question": "Which colour?", "header": "Colour", "options": ["red", "blue"]}],
    "reason": "it does not start",
    "prompt": "Which colour?",
    "text": "mind the gap",
}
"""A value of each argument that only a caller knows."""

Arrange = Callable[[Database, Agent], Awaitable[int]]
SITUATIONS: dict[str, Arrange] = {}
HOLDING: set[str] = set()
"""The situations in which the caller has or had a claim."""


def situation(arrange: Arrange) -> Arrange:
    """Register a function that prepares the backlog, and returns the feature that the first call is about."""
    SITUATIONS[arrange.__name__.replace("_", " ")] = arrange
    return arrange


def claim_of_the_caller(arrange: Arrange) -> Arrange:
    """Register a situation in which the caller has or had a claim."""
    HOLDING.add(arrange.__name__.replace("_", " "))
    return situation(arrange)


def _placed(status: Status) -> None:
    async def arrange(database: Database, _: Agent) -> int:
        return place(database, status).id

    SITUATIONS[str(status)] = arrange


for status in Status:
    _placed(status)


@situation
async def unknown(_: Database, __: Agent) -> int:
    """No feature has the id."""
    return 99


@situation
async def in_back_off(database: Database, _: Agent) -> int:
    """The feature is pending, and not ready for a while."""
    (one,) = add(database)
    alter(database, one, not_before=time.time() + 90)
    return one


@claim_of_the_caller
async def passing_unconfirmed(database: Database, agent: Agent) -> int:
    """The caller passed the feature, and another agent must confirm it."""
    rule(database, verifier="other")
    (one,) = add(database)
    await agent.holds(one)
    database.write_now(lambda tx: outcome.mark_passing(tx, agent.session.caller.author, one, agent.token))
    return one


@situation
async def on_files_in_use(database: Database, _: Agent) -> int:
    """Another's claim may change the feature's files."""
    one, two = add(database, 2, paths=["src/**"])
    token_of(database, one)
    return two


def _behind(status: Status) -> None:
    async def arrange(database: Database, _: Agent) -> int:
        needed = place(database, status).id
        (one,) = add(database)
        depend(database, one, needed)
        return one

    SITUATIONS[f"behind one that is {status}"] = arrange


for status in (Status.PENDING, Status.IN_PROGRESS, Status.NEEDS_HUMAN, Status.STUCK, Status.ARCHIVED):
    _behind(status)


@claim_of_the_caller
async def held(database: Database, agent: Agent) -> int:
    """The caller holds the feature."""
    (one,) = add(database)
    await agent.holds(one)
    return one


@claim_of_the_caller
async def held_with_another_ready(database: Database, agent: Agent) -> int:
    """The caller holds the feature, and another is ready."""
    one, _ = add(database, 2)
    await agent.holds(one)
    return one


@claim_of_the_caller
async def held_without_evidence(database: Database, agent: Agent) -> int:
    """The caller holds the feature, and a pass needs commands as evidence."""
    rule(database, require_evidence="command")
    return await held(database, agent)


@claim_of_the_caller
async def held_and_another_asked_for(database: Database, agent: Agent) -> int:
    """The caller holds a feature, and asks about another."""
    one, two = add(database, 2)
    await agent.holds(one)
    return two


@claim_of_the_caller
async def held_with_a_broken_dependency(database: Database, agent: Agent) -> int:
    """A dependency of the caller's feature fails again."""
    needed, one = add(database, 2)
    depend(database, one, needed)
    finish(database, needed)
    await agent.holds(one)
    database.write_now(lambda tx: outcome.mark_failing(tx, "tess", needed, "broken again"))
    return one


@claim_of_the_caller
async def held_with_a_new_stuck_dependency(database: Database, agent: Agent) -> int:
    """A planner lets the caller's feature depend on one that is stuck."""
    needed = place(database, Status.STUCK).id
    (one,) = add(database)
    await agent.holds(one)
    depend(database, one, needed)
    return one


@claim_of_the_caller
async def overtaken(database: Database, agent: Agent) -> int:
    """The caller's lease ran out, and another has the feature."""
    (one,) = add(database)
    await agent.holds(one)
    expire(database, one)
    database.write_now(lease.reap)
    alter(database, one, not_before=None)
    token_of(database, one, "grace")
    return one


@claim_of_the_caller
async def overtaken_and_passing(database: Database, agent: Agent) -> int:
    """The caller's lease ran out, and another has passed the feature."""
    (one,) = add(database)
    await agent.holds(one)
    expire(database, one)
    database.write_now(lease.reap)
    alter(database, one, not_before=None)
    finish(database, one)
    return one


@claim_of_the_caller
async def expired(database: Database, agent: Agent) -> int:
    """The caller's lease ran out, and the feature is in its back-off."""
    (one,) = add(database)
    await agent.holds(one)
    expire(database, one)
    database.write_now(lease.reap)
    return one


@claim_of_the_caller
async def lost_and_claimed_again(database: Database, agent: Agent) -> int:
    """The caller's lease ran out, and the caller has claimed the feature again."""
    one = await expired(database, agent)
    alter(database, one, not_before=None)
    await agent.holds(one)
    return one


@situation
async def held_by_a_dead_connection_of_this_name(database: Database, agent: Agent) -> int:
    """A connection under the caller's name, which renews its lease no longer, holds the feature."""
    (one,) = add(database)
    take(database, named(agent.name or "ada", session="gone"), one)
    alter(database, one, lease_ends=database.write_now(lambda tx: tx.reading) + 5, lease_seconds=120.0)
    return one


@situation
async def held_by_a_live_connection_of_this_name(database: Database, agent: Agent) -> int:
    """Another session that works under the caller's name holds the feature."""
    (one,) = add(database)
    take(database, named(agent.name or "ada", session="elsewhere"), one)
    return one


@claim_of_the_caller
async def stuck_while_held(database: Database, agent: Agent) -> int:
    """The caller's lease ran out for the last time: the feature is stuck."""
    rule(database, max_attempts=1)
    return await expired(database, agent)


def first_calls(role: Role, feature: int) -> list[Step]:
    """Return a first call of each operation of a role, about the feature where it is about one."""
    found = []
    for operation in (one for one in offered(role) if not one.reads):
        names = set(operation.parameters)
        required = names - operation.optional
        values = {**VALUES, "feature_id": feature, "name": "require_evidence", "value": "off"}
        if required <= values.keys():
            found.append(Step(operation.tool, {name: values[name] for name in sorted(required)}))
        if "feature_id" in operation.optional:
            found.append(Step(operation.tool, {"feature_id": feature}))
    return found


async def walk(agent: Agent, rows: Rows, call: Step, way: int) -> tuple[list[str], int]:
    """Follow refusals from a call until the caller has an answer.

    `way` is the place of the step that is taken at the first refusal, among those that the caller can take. Returns the
    calls that were made, and the last of these places.
    """
    ways = 0
    made: list[str] = []
    seen: set[tuple[str, str]] = set()
    while len(made) < LONGEST:
        key = (rows.state(), _written(call))
        assert key not in seen, f"a circle: {made} and then again {_written(call)}"
        seen.add(key)
        try:
            answer = await agent.call(call)
        except Refusal as refusal:
            made.append(f"{_written(call)}: {refusal.code}: {refusal.message}")
            own = [agent.filled(step, call) for step in refusal.next if step.by is None]
            possible = [step for step in own if step is not None]
            if not possible:
                if not refusal.next and not isinstance(refusal, InvalidInput):
                    raise AssertionError(f"no way on: {made}") from refusal
                return made, ways
            ways = len(possible) - 1 if len(made) == 1 else ways
            before, call = call, possible[way if len(made) == 1 else 0]
            if call == before:  # it waits and calls again, which is an answer
                return made, ways
            continue
        made.append(f"{_written(call)}: {type(answer).__name__}")
        if isinstance(answer, Idle):
            assert answer.message
            return made, ways
        if isinstance(answer, Claimed):
            call = Step(PASS, {"feature_id": answer.feature.id})
        elif isinstance(answer, Acknowledgement) and call.operation == RELEASE and agent.role is not Role.PLANNER:
            call = Step(CLAIM)
        else:
            return made, ways
    raise AssertionError(f"{LONGEST} calls are not enough: {made}")


def _written(call: Step) -> str:
    return f"{call.operation} {dict(sorted(call.arguments.items()))}"


CASES = [
    (situation, role, name)
    for situation in SITUATIONS
    for role in Role
    for name in ("ada", None)
    if role.has(BY_TOOL[CLAIM].roles) or situation not in HOLDING
]


@pytest.mark.parametrize(("situation", "role", "name"), CASES)
async def test_the_steps_of_refusals_lead_on(
    database: Database, db: str, situation: str, role: Role, name: str | None
) -> None:
    """From every operation in the situation, each step that a refusal names leads to an answer, or to a person."""
    arranged = Agent(database, role, name)
    feature = await SITUATIONS[situation](database, arranged)
    longest: list[str] = []
    with connected(db) as connection:
        rows = Rows(connection)
        for call in first_calls(role, feature):
            way = ways = 0
            while way <= ways:
                rows.put_back()
                made, ways = await walk(arranged.again(), rows, call, way)
                longest = max(longest, made, key=len)
                way += 1
    print(*longest, sep="\n")
