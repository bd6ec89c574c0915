"""SQLite in WAL mode: the embedded engine."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from dibs.database.bootstrap import ready_project, schema_version, write_missing
from dibs.database.clock import WallClock, lease_clock
from dibs.database.engine import Engine, NotApplied
from dibs.database.health import HealthCheck
from dibs.database.project_row import Project, find_project
from dibs.database.sqlite.driver import NAME, driver
from dibs.database.sqlite.errors import meaning, unknown_outcome, unopened
from dibs.database.sqlite.filesystems import refuse_unsafe
from dibs.database.sqlite.foreign_objects import refuse_foreign
from dibs.database.sqlite.health import check_file
from dibs.database.sqlite.lock_holders import holder_of
from dibs.database.sqlite.log_sync import LogSync, mark_of
from dibs.database.sqlite.wal import LIMIT, WriteAheadLog
from dibs.database.sqlite.writer_queue import WriterQueue
from dibs.database.transaction import TransactionStart
from dibs.platform.file_identity import FileId, file_at
from dibs.settings import UNNAMED, shown_project
from dibs_schema.refusals import Busy, DatabaseReplaced, InvalidInput, ReadOnly, Refusal
from dibs_schema.tables import HEAD

BUSY_TIMEOUT = 5_000
"""Milliseconds; for writers outside the writer queue."""
SPILL = 16_384
"""Pages (64 MiB) that a transaction may change before it writes some of them to the log, and reads them again later.

The largest batch changes 5,400 pages. The memory is free again after the commit, unlike the memory of a larger
`cache_size`. Source: https://www.sqlite.org/pragma.html#pragma_cache_spill
"""


class SQLite(Engine):
    """One database file."""

    def __init__(self, path: Path, synchronous: str, *, read_only: bool = False) -> None:
        refuse_unsafe(path)
        self.path = path.resolve()
        self.driver = driver()
        self.library = f"{NAME} {self.driver.sqlite_version}"
        self._read_only = read_only
        self._clock, self._wall = lease_clock(), WallClock()
        self.clock = self._clock.domain
        self._queue = WriterQueue(Path(f"{self.path}.lock"))
        self._paths = (os.fsencode(self.path), os.fsencode(f"{self.path}-wal"))
        self._syncs = synchronous == "FULL"
        self._sync = LogSync(self.path, self._paths[1])
        self._log = WriteAheadLog(self._paths[1], self._queue, self.driver, BUSY_TIMEOUT)
        self._identity: tuple[FileId, ...] | None = None
        self._at_rest: tuple[int, int] | None = None
        self._engine = sqlalchemy.create_engine(
            "sqlite://", module=self.driver, creator=self._connect, poolclass=NullPool
        )

    def bring_up(self, name: str) -> tuple[Connection, Project]:
        """Open a connection to the file, and prepare the file to serve the project of that name.

        Many processes may do this at the same time. Each reads first. Those that find something missing write it one
        after another in the writer queue, and read again.
        Raises SchemaNewer, Busy, ReadOnly, DatabaseDamaged.
        """
        if not self._read_only:
            refuse_foreign(self.path)
            self._create_file()
        connection = self.connect()
        try:
            with self.translated():
                project = self._ready_project(connection, name)
                if project is None:
                    project = self._prepare(connection, name)
            self._identity = self._files()
        except BaseException:
            with self.closing():
                connection.close()
            raise
        return connection, project

    def _ready_project(self, connection: Connection, name: str) -> Project | None:
        """Return the project, or None if anything is missing. Writes nothing."""
        try:
            with self.translated(), self._ended(connection):
                in_wal = self._read_only or self._journal_mode(connection) == "wal"
                return ready_project(connection, name, str(self.path)) if in_wal else None
        except Busy:  # another process prepares it
            return None

    def _prepare(self, connection: Connection, name: str) -> Project:
        if self._read_only:
            raise self._changing()
        with self.turn(), self._ended(connection):
            if self._journal_mode(connection) != "wal":
                mode = connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar_one()
                connection.rollback()
                if mode != "wal":
                    raise ReadOnly(f"{self.path} cannot use a write-ahead log (its journal mode stays {mode!r}).")
            connection.exec_driver_sql("PRAGMA synchronous = FULL")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            self._sync.refuse_after_failure()
            version = schema_version(connection)
            if version == HEAD:
                self._refuse_shown_name(connection, name)
            write_missing(connection, name, version)
            connection.commit()
            connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
        project = self._ready_project(connection, name)
        assert project is not None, "this call has written it"
        return project

    def _refuse_shown_name(self, connection: Connection, name: str) -> None:
        """Raise InvalidInput if `name` is only the displayed name of the unnamed project, and no project has it."""
        if name == UNNAMED or name != shown_project(UNNAMED, str(self.path)) or find_project(connection, name)[0]:
            return
        if find_project(connection, UNNAMED)[0]:
            raise InvalidInput(
                f"{self.path} has a project without a name, which is shown as {name!r}, as its folder is called. Nothing "
                "was changed. Leave DIBS_PROJECT and --project out, or send --project default.",
                field="project",
            )

    def _create_file(self) -> None:
        """Create a missing file for this user alone; SQLite gives the files next to it the same mode."""
        try:
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                mark_of(self.path).unlink(missing_ok=True)  # it was about a file that was deleted
        except OSError as error:
            raise unopened(self.path, error) from error

    def _changing(self) -> NotApplied:
        return NotApplied(f"{self.path} is being changed by others. Nothing was done. Call again in a moment.")

    def _journal_mode(self, connection: Connection) -> str:
        mode = str(connection.exec_driver_sql("PRAGMA journal_mode").scalar_one())
        connection.rollback()
        return mode

    def connect(self, *, reading: bool = False) -> Connection:
        """Open a connection for one thread; with `reading` it can never write."""
        with self.translated():
            if not self._read_only:
                self.check_identity()  # opening another file would make a log for it
            connection = self._engine.connect()
            connection.info["at_rest"] = self._at_rest
            if reading:
                connection.exec_driver_sql("PRAGMA query_only = ON")
                connection.commit()
            return connection

    def _connect(self) -> object:
        mode = "rw"
        if self._read_only:  # closing it checkpoints nothing, even if the file or its log is damaged
            self._at_rest = self._size_and_time()
            mode = "ro" if self._at_rest is None else "ro&immutable=1"  # a log would be created, and would stay
        connection = self.driver.connect(
            f"{self.path.as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT}",
            "synchronous = NORMAL",  # of the log's header and of checkpoints; `sync` is for the rest
            "foreign_keys = ON",
            "trusted_schema = OFF",
            "wal_autocheckpoint = 1000",
            f"cache_spill = {SPILL}",
            f"journal_size_limit = {LIMIT}",
            "mmap_size = 0",
            "fullfsync = ON",
            "checkpoint_fullfsync = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def is_usable(self, connection: Connection) -> bool:
        """Return whether the connection is open, outside any transaction, and sees what others have written since."""
        try:
            ended = not connection.closed and not _driver_connection(connection).in_transaction
        except self.driver.Error:  # the driver's connection is closed
            return False
        return ended and not self._is_disturbed(connection.info["at_rest"])

    def _size_and_time(self) -> tuple[int, int] | None:
        """Return the size and time of the file, or None if a process has it open or has left a log or a journal."""
        with suppress(FileNotFoundError):
            stat = self.path.stat()
            if not any(Path(f"{self.path}{suffix}").exists() for suffix in ("-wal", "-journal")):
                return stat.st_size, stat.st_mtime_ns
        return None

    def _is_disturbed(self, at_rest: tuple[int, int] | None) -> bool:
        """Return whether others have used the file since it was opened on the assumption that nobody else did."""
        return at_rest is not None and at_rest != self._size_and_time()

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Hold the writer queue: closing the last connection checkpoints. No connection is opened afterwards.

        Without its file, as in a folder that was deleted, the connections are closed all the same.
        """
        if not self._read_only:
            with suppress(Refusal):
                self._enter_queue()
        self._sync.sync_rest()  # the closing checkpoint would meet an error alone
        self._sync.close()  # Windows removes no file that is open
        try:
            yield
        finally:
            self._queue.leave()
            self._queue.close()
            self._engine.dispose()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the head of the writer queue. Raises ReadOnly if its file cannot be opened."""
        self._enter_queue()
        try:
            yield
        finally:
            self._queue.leave()

    @contextmanager
    def write_transaction(
        self,
        connection: Connection,
        name: str,
        *,
        exclusive: bool,  # noqa: ARG002 - every write transaction is exclusive
        abandoned: Callable[[], bool],
    ) -> Iterator[TransactionStart | None]:
        """Hold the write lock: in the writer queue, between BEGIN IMMEDIATE and ROLLBACK."""
        with self.turn():
            self._open_log()
            if not self._begin(connection, abandoned):
                yield None
                return
            with self.translated(), self._ended(connection):
                self.check_identity()
                self._sync.refuse_after_failure()
                yield self._start(*find_project(connection, name))
            self._log.restart_if_large(_driver_connection(connection), before=self._sync.sync_rest)

    def _enter_queue(self) -> None:
        """Wait in the writer queue. Raises ReadOnly if its file cannot be opened."""
        with self._opening():
            self._queue.enter()

    def _open_log(self) -> None:
        """Open the log before a commit, so that its sync cannot fail for that, and sync what an earlier commit has left.

        A checkpoint must not be the second to try what the disk has refused: the kernel says so once.
        """
        if not self._syncs:
            return
        with self._opening():
            opened = self._sync.open()
        if self._identity is not None and opened not in self._identity:
            self._sync.close()
            self.check_identity()
            raise self._changing()
        self._sync.sync_rest()

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """Raise a refusal if a file next to the database cannot be opened."""
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError):  # the folder was deleted
                self.check_identity()
            raise unopened(self.path, error) from error

    def _begin(self, connection: Connection, abandoned: Callable[[], bool]) -> bool:
        while not abandoned():
            try:
                with self.translated():
                    _driver_connection(connection).execute("BEGIN IMMEDIATE")
            except Busy:
                time.sleep(random.uniform(0.001, 0.010))  # a program outside the queue has the lock
            else:
                return True
        return False

    @contextmanager
    def read_transaction(
        self, connection: Connection, name: str, known: Project | None = None
    ) -> Iterator[TransactionStart]:
        """Hold a snapshot: plain deferred BEGIN, which never takes the write lock."""
        with self.translated():
            with self._ended(connection):
                _driver_connection(connection).execute("BEGIN")
                start = self._start(*(find_project(connection, name) if known is None else (known, None)))
                if known is None and not self._read_only:  # after the first read: the snapshot is of the file checked
                    self.check_identity()
                yield start
            if self._is_disturbed(connection.info["at_rest"]):
                raise self._changing()

    @contextmanager
    def _ended(self, connection: Connection) -> Iterator[None]:
        """Roll back at the end of the block. A rollback that fails never replaces the error that led to it."""
        try:
            yield
        except BaseException:
            with suppress(DBAPIError, self.driver.Error):  # the connection is not used again
                _end(connection)
            raise
        _end(connection)

    def lock_holder(self, connection: Connection, waiting: Sequence[Connection]) -> str | None:  # noqa: ARG002 - the kernel knows
        """Return the process that holds a lock, as far as the kernel names it. Waits for nothing."""
        return holder_of(self.path)

    def _start(self, project: Project | None, schema: str | None) -> TransactionStart:
        now, even = self._wall.read()
        up = even if self._clock.is_wall else math.inf  # after a jump, its own leases last their full length too
        return TransactionStart(project, schema, now=now, reading=self._clock.read(), up=up, even=even)

    def commit(self, connection: Connection, *, wake: bool) -> None:  # noqa: ARG002 - every commit wakes
        """See Engine. Raises OutcomeUnknown if the disk fails during the commit."""
        try:
            _driver_connection(connection).commit()
        except self.driver.Error as error:
            unknown = unknown_outcome(self.path, error)
            if unknown is None:
                raise
            raise unknown from error
        if self._syncs:
            self._sync.note_commit()

    def sync(self) -> None:
        """See Engine. Other writers have their turn meanwhile, and sync for themselves."""
        if self._syncs:
            with self._opening():
                self._sync.open()
            self._sync.sync()

    def work_version(self, connection: Connection) -> int:
        """Return a number that changes when another connection commits. Reads no table and takes no lock."""
        with self.translated():
            self.check_identity()  # nobody commits to a deleted file, and its version would stay the same for ever
            version = connection.exec_driver_sql("PRAGMA data_version").scalar_one()
            connection.rollback()
            return int(version)

    def check_health(self, connection: Connection) -> list[HealthCheck]:
        """Check the file, its file system, the library, the log and every page."""
        with self.translated():
            return check_file(self.path, self.library, connection)

    def check_identity(self) -> None:
        """Raise DatabaseReplaced if the path leads to files other than those that are open."""
        if self._identity is not None and self._files() != self._identity:
            raise DatabaseReplaced(
                f"{self.path} was deleted or replaced while this server ran. Nothing was written, neither "
                "to the old file nor to the new. Restart the server to serve what is there now."
            )

    def _files(self) -> tuple[FileId, ...]:
        try:
            return tuple(map(file_at, self._paths))
        except FileNotFoundError:
            return ()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the library's errors into refusals, so that their text reaches no client."""
        try:
            yield
        except (DBAPIError, self.driver.Error, UnicodeDecodeError, JSONDecodeError) as error:
            if self._is_disturbed(self._at_rest):
                raise self._changing() from error
            self.check_identity()  # other files at the path explain every error
            refusal = meaning(self.path, (error.orig or error) if isinstance(error, DBAPIError) else error)
            if refusal is None:
                raise
            raise refusal from error


def _end(connection: Connection) -> None:
    driver = _driver_connection(connection)
    if driver.in_transaction:
        driver.rollback()
    if connection.in_transaction():  # SQLAlchemy's own record of the transaction, if it ran a statement
        connection.rollback()


def _driver_connection(connection: Connection) -> Any:
    """Return the driver's connection, which begins and ends transactions at a tenth of SQLAlchemy's cost."""
    return connection.connection.dbapi_connection
