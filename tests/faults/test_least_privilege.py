"""A role that owns nothing needs exactly the grants that docs/how-to/postgresql.md lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from clusters.cluster import PASSWORD, Cluster
from clusters.urls import moved
from dibs.database import Database, open_database
from dibs.database.compiled import JSONText
from dibs.database.postgres.lock_holders import session_name
from dibs.database.transaction import Transaction
from dibs.queries.access_tokens import find_access_token
from dibs.queries.audit import audit
from dibs.queries.follow import BEGINNING, follow
from dibs.queries.graph import get_graph
from dibs.queries.history import get_history
from dibs.queries.search import search
from dibs.queries.stats import get_stats
from dibs.rules import idempotency
from dibs.settings import Settings
from dibs.verbs import ask_person, ask_user, claim, lease, outcome, release, skip, staged_import, update, verify
from dibs.verbs.access_tokens import record_use
from dibs.verbs.create import create_bulk
from dibs.verbs.depend import add_dependency, remove_dependency
from dibs.verbs.project_settings import change_setting
from dibs_schema.answers import Created
from dibs_schema.inputs import Option, Question
from dibs_schema.operations import BY_TOOL
from dibs_schema.refusals import Busy, ReadOnly, Refusal
from races.servers import serving
from verbs import stage

PAGE = (Path(__file__).parent.parent.parent / "docs" / "how-to" / "postgresql.md").read_text(encoding="utf-8")
ROLE = "agents"
ASKED = Question(question="Which?", header="Which", options=[Option(label="a"), Option(label="b")], multiSelect=False)


def grants() -> list[str]:
    """Return the statements of the page's block that begins with the role."""
    found = re.search(rf"^```sql\n(CREATE ROLE {ROLE} .*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found, "the page lists no grants"
    return [line for line in found[1].splitlines() if line.startswith("GRANT ")]


def single_grants() -> list[str]:
    """Return the grants split into one privilege on one column each."""
    singles = []
    for line in grants():
        given, where = line.removeprefix("GRANT ").split(" ON ", 1)
        for privilege, columns in re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", given):
            singles += [
                f"GRANT {privilege}{f' ({one.strip()})' if one else ''} ON {where}" for one in columns.split(",")
            ]
    return singles


@dataclass
class Backlogs:
    """A database whose owner creates projects, for a role that owns nothing."""

    cluster: Cluster

    def __post_init__(self) -> None:
        self._numbers = count(1)

    def sql(self, statement: str) -> None:
        """Run a statement as the database's owner."""
        with psycopg.connect(self.cluster.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def url(self) -> str:
        """The URL of the database for the role."""
        return moved(self.cluster.url().replace("//dibs:", f"//{ROLE}:"), {})

    def project(self) -> str:
        """Create a project as the owner, and return its name."""
        name = f"project {next(self._numbers)}"
        with closing_database(self.cluster.url(), name, patience=20) as owned:
            owned.read_now(lambda tx: tx.project)
        return name


def closing_database(url: str, project: str, patience: float = 0.5) -> Any:
    """Open a database, and close it at the end of the block."""
    return closing(open_database(Settings(db=url, project=project, patience=patience)))


@pytest.fixture(scope="module")
def backlogs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backlogs]:
    """A separate server without rights for PUBLIC, so that only the page's grants apply."""
    with Cluster(tmp_path_factory.mktemp("privilege") / "primary", fsync="off") as cluster:
        backlogs = Backlogs(cluster)
        cluster.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
        backlogs.project()
        backlogs.sql("REVOKE ALL ON DATABASE dibs FROM PUBLIC")
        run_as_superuser(cluster, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
        run_as_superuser(cluster, "GRANT ALL ON SCHEMA public TO dibs")
        for grant in grants():
            run_as_superuser(cluster, grant)
        yield backlogs


def run_as_superuser(cluster: Cluster, statement: str) -> None:
    """Run a statement in the backlog's database as the superuser: the schema `public` is not its owner's."""
    inside = f"host={cluster.sockets} port={cluster.port} user=postgres dbname=dibs"
    with psycopg.connect(inside, autocommit=True) as connection:
        connection.execute(statement.encode())


def _create(tx: Transaction, number: int, request: idempotency.Request | None) -> Created:
    batch = [stage.new(f"feature {number}")]
    return idempotency.once(tx, request, Created, lambda: create_bulk(tx, "planner", batch))


def tour(database: Database) -> None:
    """Call every verb once, in one project."""
    for number in range(5):
        once_only = idempotency.Request.of(f"request {number}", "create", {})
        database.write_now(partial(_create, number=number, request=once_only))
    first, second, third, fourth, fifth = range(1, 6)
    database.write_now(lambda tx: add_dependency(tx, "planner", second, first))
    database.write_now(lambda tx: remove_dependency(tx, "planner", second, first))
    stage.depend(database, second, first)
    token = stage.take(database, stage.named("ada")).claim.token
    database.write_now(lambda tx: lease.heartbeat(tx, first, token, "half of it"))
    database.write_now(lambda tx: lease.renew(tx, [token]))
    database.write_now(lambda tx: update.add_note(tx, "ada", first, "mind the gap"))
    database.write_now(lambda tx: outcome.mark_passing(tx, "ada", first, token))
    database.write_now(lambda tx: verify.take_for_regression(tx, 3))
    database.write_now(lambda tx: outcome.mark_failing(tx, "tess", first, "broken again"))
    failed = stage.token_of(database, third)
    database.write_now(lambda tx: outcome.mark_failing(tx, "ada", third, "no", failed))
    database.write_now(lambda tx: skip.skip(tx, "ada", fourth, "later"))
    given_back = stage.token_of(database, fifth)
    database.write_now(lambda tx: release.release(tx, "ada", fifth, given_back))
    stage.token_of(database, fifth, "bob")
    stage.expire(database, fifth)
    assert database.write_now(lease.reap) == [fifth]
    asking = stage.token_of(database, fourth)
    database.write_now(lambda tx: ask_person.request_human_input(tx, "ada", fourth, asking, stage.REQUEST))
    database.write_now(lambda tx: ask_person.answer_feature(tx, "pat", fourth, stage.REPLY))
    asked = database.write_now(lambda tx: ask_user.ask_user(tx, "ada", [ASKED], [second])).question_id
    database.write_now(lambda tx: ask_user.answer_question(tx, "pat", asked, {"Which": "a"}))
    texts = {"name": "renamed", "paths": ["src"]}
    database.write_now(lambda tx: update.change(tx, "planner", fifth, texts, archived=True))
    stage.take(database, stage.nameless("session"))
    database.write_now(lambda tx: lease.release_session(tx, "session"))
    database.write_now(lambda tx: claim.claim(tx, stage.named("eve"), None, category="none"))
    assert database.read_now(lambda tx: find_access_token(tx, "0" * 64)) is None
    database.write_now(lambda tx: record_use(tx, tx.project.name, "none"))
    assert database.read_now(search).total == 5
    database.read_now(lambda tx: get_history(tx, first))
    database.read_now(lambda tx: get_stats(tx, "here"))
    database.read_now(get_graph)
    database.write_now(lambda tx: staged_import.stage_part(tx, "one", 0, JSONText('{"by": "import", "features": []}')))
    database.write_now(lambda tx: staged_import.publish(tx, "one", 1, 0, 5))
    database.write_now(staged_import.add_part)
    assert database.read_now(audit).unsound == []


def test_the_grants_suffice_for_every_verb(backlogs: Backlogs) -> None:
    """A role that owns nothing can run every verb and every query."""
    with closing_database(backlogs.url(), backlogs.project()) as database:
        tour(database)


def test_a_superusers_transaction_in_another_database_holds_back_no_event(backlogs: Backlogs) -> None:
    """Without any privilege a role sees in which database another user's transaction is open."""
    cluster = backlogs.cluster
    elsewhere = f"host={cluster.sockets} port={cluster.port} user=postgres dbname=postgres"
    with (
        closing_database(backlogs.url(), backlogs.project()) as database,
        psycopg.connect(elsewhere, autocommit=True) as foreign,
    ):
        foreign.execute("BEGIN; SELECT pg_current_xact_id()")
        database.write_now(partial(_create, number=1, request=None))
        assert [event.feature for event in database.read_now(lambda tx: follow(tx, BEGINNING))] == [1]


@pytest.mark.parametrize("connections", [10, 1])
def test_busy_names_the_session_of_another_role(backlogs: Backlogs, connections: int) -> None:
    """Without any privilege a role sees who blocks it, but not since when. A look-up that fails keeps the `busy`."""
    project, cluster = backlogs.project(), backlogs.cluster
    run_as_superuser(cluster, f"ALTER ROLE {ROLE} CONNECTION LIMIT {connections}")
    try:
        with (
            closing_database(backlogs.url(), project) as database,
            psycopg.connect(cluster.url(), application_name="other") as other,
        ):
            database.write_now(partial(_create, number=1, request=None))
            other.execute("SELECT id FROM projects FOR UPDATE")
            with pytest.raises(Busy) as busy:
                database.write_now(partial(_create, number=2, request=None))
            name = session_name(other.info.backend_pid, "dibs", "other")
            assert busy.value.details == ({"holder": name} if connections > 1 else {})
    finally:
        run_as_superuser(cluster, f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")


@pytest.mark.parametrize("grant", single_grants())
def test_without_any_one_of_the_grants_something_is_refused(backlogs: Backlogs, grant: str) -> None:
    """Every listed privilege is necessary; without one, calls are refused properly."""
    project = backlogs.project()
    whole = next(one for one in grants() if one.endswith(grant.split(" ON ")[1]))
    run_as_superuser(backlogs.cluster, grant.replace("GRANT", "REVOKE").replace(" TO ", " FROM "))
    try:
        with pytest.raises(Refusal), closing_database(backlogs.url(), project) as database:
            tour(database)
    finally:
        run_as_superuser(backlogs.cluster, whole)


def test_a_real_server_serves_all_its_tools_with_these_grants(backlogs: Backlogs) -> None:
    """With the role, no tool is refused for a missing privilege, and one server's work wakes another server."""
    flags = ("--project", backlogs.project())
    texts = {"category": "c", "name": "n", "description": "d", "steps": ["s"]}
    passing = texts | {"passes": True}
    again = {"allow_duplicates": True}
    field = {"id": "colour", "label": "Which colour?"}
    options = [{"label": "a", "description": "a"}, {"label": "b", "description": "b"}]
    called: dict[str, list[dict[str, Any]]] = {
        "feature_create_bulk": [
            {"features": [texts] * 6, "request_id": "bulk", **again},
            {"features": [texts] * 500, **again},
            {"features": [passing, passing, passing | {"depends_on_indices": [0]}], **again},
        ],
        "feature_create": [texts | again],
        "feature_add_dependency": [{"feature_id": 7, "dependency_id": 1}],
        "feature_remove_dependency": [{"feature_id": 7, "dependency_id": 1}],
        "feature_set_dependencies": [{"feature_id": 7, "dependency_ids": [1]}],
        "feature_claim_and_get": [{"request_id": "claim"}],
        "feature_heartbeat": [{"feature_id": 1, "note": "half of it"}],
        "feature_add_note": [{"feature_id": 1, "text": "mind the gap"}],
        "feature_mark_passing": [{"feature_id": 1, "evidence": {"summary": "seen"}}],
        "feature_get_for_regression": [{}],
        "feature_mark_in_progress": [{"feature_id": number} for number in (2, 3, 4, 5)],
        "feature_mark_failing": [{"feature_id": 2, "reason": "no"}],
        "feature_skip": [{"feature_id": 3, "reason": "later"}],
        "feature_clear_in_progress": [{"feature_id": 4}],
        "feature_request_human_input": [{"feature_id": 5, "prompt": "Which?", "fields": [field]}],
        "feature_answer_human_input": [{"feature_id": 5, "answers": {"colour": "blue"}}],
        "ask_user": [{"questions": [{"question": "Q?", "header": "Q", "options": options, "multiSelect": False}]}],
        "feature_return": [{"feature_id": 507, "feedback": "not yet"}],
        "feature_approve": [{"feature_id": 509}],
        "feature_reject": [{"feature_id": 508, "reason": "not needed"}],
        "feature_update": [{"feature_id": 6, "archived": True, "paths": ["src"]}],
        "feature_move": [{"feature_id": 6, "before": 3}, {"feature_id": 6, "to": "front"}],
        "feature_get_by_id": [{"feature_id": 1}],
        "feature_get_summary": [{"feature_id": 1}],
        "feature_search": [{}],
        "feature_get_ready": [{}],
        "feature_get_blocked": [{}],
        "feature_get_graph": [{}],
        "feature_get_history": [{"feature_id": 1}],
        "feature_get_stats": [{}],
        "feature_get_overview": [{}],
    }
    assert sorted(called) == sorted(BY_TOOL)
    with serving(backlogs.url()) as start:
        server = start(*flags)
        for tool, calls in called.items():
            for arguments in calls:
                server.call(tool, **arguments)
        assert server.finish() == 0


def test_the_role_cannot_change_rules_schema_or_the_journal(backlogs: Backlogs) -> None:
    """Calls that only the owner may make get a proper refusal."""
    project = backlogs.project()
    with closing_database(backlogs.url(), project) as database, pytest.raises(ReadOnly):
        database.write_now(lambda tx: change_setting(tx, "ada", "max_claims", 5))
    with closing_database(backlogs.url(), "a project that is not there") as database, pytest.raises(ReadOnly):
        database.read_now(lambda tx: tx.project)
    for statement in ("DELETE FROM events", "UPDATE events SET agent = 'x'", "DROP TABLE features"):
        with (
            psycopg.connect(backlogs.url()) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement.encode())


@pytest.mark.parametrize("query", re.findall(r"^```sql\n(SELECT .*?)^```", PAGE, re.MULTILINE | re.DOTALL))
def test_the_page_s_queries_run(backlogs: Backlogs, query: str) -> None:
    """The page's monitoring queries work unchanged."""
    backlogs.sql(query)
