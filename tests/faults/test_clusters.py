"""The tests' own PostgreSQL servers behave as the tests of faults assume."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
from psycopg import generators

from clusters.cluster import Cluster
from clusters.shared import GIVEN, Server, fresh_database, run_folder, shared_server
from clusters.urls import moved
from proxies import CuttingProxy
from races.backlog import eventually

TESTS = Path(__file__).parent.parent
Owner = subprocess.Popen[str]
Start = Callable[[str, Path], Owner]
Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shared server of the test run."""
    with shared_server(run_folder(tmp_path_factory)) as shared:
        yield shared


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    """A database with the table `notes`, empty."""
    with fresh_database(server) as fresh:
        run(fresh, "CREATE TABLE notes (text text PRIMARY KEY)")
        yield fresh


@pytest.fixture
def proxy(url: str) -> Iterator[CuttingProxy]:
    """A proxy in front of that database."""
    with CuttingProxy(url) as started:
        yield started


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A separate server with the table `notes`, empty."""
    with Cluster(tmp_path / "primary") as started:
        run(started.url(), "CREATE TABLE notes (text text PRIMARY KEY)")
        yield started


def run(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement on its own connection."""
    with psycopg.connect(url, autocommit=True) as connection:
        done = connection.execute(statement.encode())
        return done.fetchall() if done.description else []


def notes(url: str) -> list[str]:
    """Return the rows of the table, in order."""
    return [text for (text,) in run(url, "SELECT text FROM notes ORDER BY text")]


def refused(url: str) -> bool:
    """Return whether no server answers at this URL."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return True
    return False


@pytest.fixture
def owner() -> Iterator[Start]:
    """Start other processes, which run a script until they are killed: `owner(OWNS, folder)`."""
    with ExitStack() as owners:

        def start(script: str, folder: Path) -> Owner:
            told = [
                sys.executable,
                "-c",
                f"import sys, time\nfrom pathlib import Path\n{script}",
                str(folder),
            ]
            process = subprocess.Popen(told, cwd=TESTS, stdout=subprocess.PIPE, text=True)
            owners.enter_context(process)
            owners.callback(process.kill)
            return process

        yield start


def said(process: Owner) -> str:
    """Return the next line that the process prints."""
    assert process.stdout
    return process.stdout.readline().strip()


SHARES = """
from clusters.shared import shared_server
with shared_server(Path(sys.argv[1])) as server:
    print(server.url(), flush=True)
    time.sleep(300)
"""
OWNS = """
from clusters.cluster import Cluster
with Cluster(Path(sys.argv[1])) as server:
    print(server.url(), flush=True)
    time.sleep(300)
"""


def test_a_run_shares_one_server_that_ends_after_its_last_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Start
) -> None:
    """Concurrent processes share one server, which lives until the last of them has ended."""
    monkeypatch.delenv(GIVEN, raising=False)
    processes = [owner(SHARES, tmp_path) for _ in range(3)]
    (url,) = {said(process) for process in processes}
    folder = Path((tmp_path / "postgres").read_text())
    for process in processes:
        assert not refused(url)
        process.kill()
        process.wait()
    eventually(lambda: refused(url) and not folder.exists())


def test_a_server_that_ended_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that starts just after the last process has ended gets a running server."""
    monkeypatch.delenv(GIVEN, raising=False)
    for _ in range(3):
        with shared_server(tmp_path) as shared:
            assert run(shared.url(), "SELECT 1") == [(1,)]
    eventually(lambda: refused(shared.url()))


def test_a_given_server_is_used_and_none_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With DIBS_TEST_POSTGRES the tests run on the given server, whatever else its URL contains."""
    monkeypatch.setenv(GIVEN, "postgresql://me:secret@db.example:5433/home?sslmode=require")
    with shared_server(tmp_path) as shared:
        assert shared.url() == "postgresql://me:secret@db.example:5433/home?sslmode=require"
        assert moved(shared.url(), {}, "a b") == "postgresql://me:secret@db.example:5433/a%20b?sslmode=require"
    assert not list(tmp_path.iterdir())


def test_a_fresh_database_is_empty_and_dropped_under_whoever_uses_it(server: Server) -> None:
    """Two databases share nothing, and an open connection does not prevent the drop."""
    with fresh_database(server) as first, fresh_database(server) as second:
        run(first, "CREATE TABLE notes (text text)")
        assert run(second, "SELECT to_regclass('notes')") == [(None,)]
        connection = psycopg.connect(first)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
    assert refused(first)
    assert refused(second)


def test_a_fresh_database_may_copy_another(server: Server, url: str) -> None:
    """The copy has the template's rows, and later changes of one do not affect the other."""
    run(url, "INSERT INTO notes VALUES ('old')")
    with fresh_database(server, template=url) as copy:
        run(copy, "INSERT INTO notes VALUES ('new')")
        assert notes(copy) == ["new", "old"]
    assert notes(url) == ["old"]


def test_the_tests_role_is_no_superuser(cluster: Cluster) -> None:
    """What works in the tests works for a role without privileges, over TCP with a password and over a socket."""
    query = "SELECT current_user, current_setting('is_superuser'), inet_client_addr() IS NULL"
    assert run(cluster.url(), query) == [("dibs", "off", False)]
    assert run(cluster.url(host=str(cluster.sockets)), query) == [("dibs", "off", True)]
    assert refused(cluster.url().replace(":not-to-be-told@", ":wrong@"))


def test_what_was_acknowledged_survives_sigkill(cluster: Cluster) -> None:
    """A kill takes every process at once, the durable settings hold, and the server restarts on its port."""
    durable = "SELECT current_setting(name) FROM unnest('{fsync,synchronous_commit,full_page_writes}'::text[]) name"
    assert run(cluster.url(), durable) == [("on",)] * 3
    with psycopg.connect(cluster.url()) as asleep:
        run(cluster.url(), "INSERT INTO notes VALUES ('kept')")
        cluster.kill()
        assert refused(cluster.url())
        with pytest.raises(psycopg.OperationalError):
            asleep.execute("SELECT 1")
    cluster.start()
    assert notes(cluster.url()) == ["kept"]


def test_a_kill_takes_a_backend_at_work(cluster: Cluster) -> None:
    """A busy backend ends at once with its server."""
    with closing(psycopg.connect(cluster.url())) as connection:
        busy = connection.info.backend_pid
        connection.pgconn.send_query(b"DO $$ BEGIN LOOP END LOOP; END $$")
        at_work = "SELECT state FROM pg_stat_activity WHERE pid = %s AND query LIKE 'DO%%'"
        eventually(lambda: cluster.sql(at_work, (busy,)) == [("active",)])
        cluster.kill()
    cluster.start()


@pytest.mark.parametrize("mode", ["smart", "fast", "immediate"])
def test_a_cluster_stops_and_restarts_in_every_mode(
    cluster: Cluster, mode: Literal["smart", "fast", "immediate"]
) -> None:
    """After a restart, committed rows are there; while the server is down, connections are refused."""
    run(cluster.url(), "INSERT INTO notes VALUES ('kept')")
    cluster.restart(mode)
    assert notes(cluster.url()) == ["kept"]
    cluster.stop(mode)
    assert refused(cluster.url())


def test_a_cluster_ends_with_its_killed_owner(tmp_path: Path, owner: Start) -> None:
    """No server is left behind by a test run that was killed."""
    process = owner(OWNS, tmp_path / "primary")
    url = said(process)
    assert not refused(url)
    process.kill()
    process.wait()
    eventually(lambda: refused(url))


def test_no_acknowledged_commit_is_lost_by_a_failover(cluster: Cluster) -> None:
    """The standby is synchronous: it has each acknowledged row when the server is killed, and then takes writes."""
    standby = cluster.standby()
    state = "SELECT application_name, state, sync_state FROM pg_stat_replication"
    assert cluster.sql(state) == [("primary_standby", "streaming", "sync")]
    with CuttingProxy(cluster.url()) as proxy:
        with psycopg.connect(proxy.url(cluster.url()), autocommit=True) as connection:
            for number in range(100):
                connection.execute("INSERT INTO notes VALUES (%s)", (f"{number:03}",))
            cluster.kill()
        standby.promote()
        proxy.lead_to(standby.url())
        url = proxy.url(cluster.url())
        assert notes(url) == [f"{number:03}" for number in range(100)]
        run(url, "INSERT INTO notes VALUES ('after')")
        assert len(notes(url)) == 101


def test_a_commit_waits_for_the_standby(cluster: Cluster) -> None:
    """Without its standby the server acknowledges no commit until the standby is back."""
    standby = cluster.standby()
    standby.kill()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'INSERT%'"
    commit = threading.Thread(target=run, args=(cluster.url(), "INSERT INTO notes VALUES ('late')"))
    commit.start()
    eventually(lambda: cluster.sql(waiting) == [(1,)])
    assert notes(cluster.url()) == []
    standby.start()
    cluster.wait_in_sync()
    commit.join()
    assert notes(cluster.url()) == ["late"]


def test_a_server_may_have_two_synchronous_standbys(cluster: Cluster, tmp_path: Path) -> None:
    """Each of several standbys is synchronous, and so is a standby that follows a promoted server."""
    first = cluster.standby()
    second = cluster.standby(tmp_path / "second")
    assert cluster.sql("SELECT DISTINCT sync_state FROM pg_stat_replication") == [("sync",)]
    cluster.stop("immediate")
    first.promote()
    second.stop()
    first.standby(tmp_path / "third")
    run(first.url(), "INSERT INTO notes VALUES ('kept')")
    assert first.sql("SELECT sync_state FROM pg_stat_replication") == [("sync",)]


def transaction(connection: Connection) -> None:
    """Make a write that ends with the simple query COMMIT."""
    connection.execute("INSERT INTO notes VALUES ('it')")
    connection.commit()


def extended_commit(connection: Connection) -> None:
    """Make a write that ends with a COMMIT by the extended protocol."""
    connection.execute("INSERT INTO notes VALUES ('it')")
    connection.execute("COMMIT", binary=True)


def single(connection: Connection) -> None:
    """Run a statement with parameters that is its own transaction."""
    connection.set_autocommit(True)
    connection.execute("INSERT INTO notes /* COMMIT */ VALUES (%s)", ("it",))


def pipelined(connection: Connection) -> None:
    """Send several statements at once, of which the last commits."""
    with connection.pipeline():
        connection.execute("SELECT 1")
        connection.execute("INSERT INTO notes VALUES ('it')")
        connection.commit()


@pytest.mark.parametrize("work", [transaction, extended_commit, single, pipelined])
@pytest.mark.parametrize("after", [False, True])
def test_a_commit_is_lost_on_the_wanted_side_of_the_server(
    url: str, proxy: CuttingProxy, work: Callable[[Connection], None], after: bool
) -> None:
    """A cut before the commit leaves no row, and a later cut leaves it. The client sees the same lost connection."""
    with psycopg.connect(proxy.url(url)) as connection:
        cut = (proxy.cut_after if after else proxy.cut_before)(b"COMMIT")
        with pytest.raises(psycopg.OperationalError):
            work(connection)
        cut.wait()
        assert connection.broken
    eventually(lambda: idle(url))
    assert notes(url) == (["it"] if after else [])


@pytest.mark.parametrize("after", [False, True])
def test_a_prepared_statement_is_known_by_its_text(url: str, proxy: CuttingProxy, after: bool) -> None:
    """A cut finds a statement of which the client sends only the name, because it was prepared before."""
    with psycopg.connect(proxy.url(url), autocommit=True) as connection:
        connection.execute("INSERT INTO notes VALUES (%s)", ("first",), prepare=True)
        known = connection.execute("SELECT statement FROM pg_prepared_statements").fetchall()
        assert known == [("INSERT INTO notes VALUES ($1)",)]
        cut = (proxy.cut_after if after else proxy.cut_before)(b"INSERT INTO notes")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("INSERT INTO notes VALUES (%s)", ("it",), prepare=True)
        cut.wait()
    eventually(lambda: idle(url))
    assert notes(url) == (["first", "it"] if after else ["first"])


def test_what_was_answered_before_the_cut_arrives(url: str, proxy: CuttingProxy) -> None:
    """Of several pipelined statements, only the answer to the chosen statement is lost."""
    with closing(psycopg.connect(proxy.url(url))) as connection:
        cut = proxy.cut_after(b"INSERT INTO notes")
        wire = connection.pgconn  # psycopg's own pipeline would wait for each answer
        wire.enter_pipeline_mode()
        for statement in (b"SELECT 'first' FROM pg_sleep(0.2)", b"INSERT INTO notes VALUES ('it')"):
            wire.send_query_params(statement, [])
            wire.pipeline_sync()
        connection.wait(generators.send(wire))
        first = connection.wait(generators.fetch(wire))
        assert first is not None
        assert first.get_value(0, 0) == b"first"
        cut.wait()
    assert notes(url) == ["it"]


def test_a_cut_comes_once_and_only_at_its_text(url: str, proxy: CuttingProxy) -> None:
    """Other statements pass, other connections stay open, and the next client is not cut."""
    with psycopg.connect(proxy.url(url)) as other, psycopg.connect(proxy.url(url)) as connection:
        cut = proxy.cut_after(b"COMMIT")
        connection.execute("INSERT INTO notes VALUES ('it')")
        assert not cut.happened.is_set()
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
        other.execute("INSERT INTO notes VALUES ('other')")
        other.commit()
    with psycopg.connect(proxy.url(url)) as again:
        again.execute("INSERT INTO notes VALUES ('third')")
    assert notes(url) == ["it", "other", "third"]


def test_an_outage_refuses_new_connections_and_ends(url: str, proxy: CuttingProxy) -> None:
    """Open connections stay until all are cut; new connections are refused until the proxy accepts again."""
    with psycopg.connect(proxy.url(url), autocommit=True) as connection:
        proxy.stop_accepting()
        assert refused(proxy.url(url))
        connection.execute("INSERT INTO notes VALUES ('during')")
        proxy.cut_all()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    proxy.accept()
    assert notes(proxy.url(url)) == ["during"]


def test_the_proxy_changes_nothing_that_it_forwards(url: str, proxy: CuttingProxy) -> None:
    """Large values, notifications, errors, a copy out, and a client that first asks for TLS pass through."""
    through = moved(url, {"sslmode": "prefer"}, port=proxy.port)
    with psycopg.connect(through, autocommit=True) as connection:
        large = "x" * 3_000_000
        connection.execute("INSERT INTO notes VALUES (md5(%s))", (large,))
        assert connection.execute("SELECT repeat('y', 3000000)").fetchone() == ("y" * 3_000_000,)
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM missing")
        with connection.cursor().copy("COPY notes TO STDOUT") as copy:
            assert len(b"".join(copy)) == 33
        connection.execute("LISTEN ready")
        run(url, "NOTIFY ready, 'now'")
        assert [notify.payload for notify in connection.notifies(timeout=5, stop_after=1)] == ["now"]


def test_a_cut_that_never_comes_is_told(proxy: CuttingProxy) -> None:
    """A cut whose statement never arrives fails the test."""
    cut = proxy.cut_before(b"UPDATE features")
    with pytest.raises(AssertionError, match="UPDATE features"):
        cut.wait(within=0.01)


def idle(url: str) -> bool:
    """Return whether the server has noticed that no client is connected to this database anymore."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return run(url, others) == [(0,)]
