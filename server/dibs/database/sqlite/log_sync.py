"""Put commits on disk after their writer has left the queue, so that the syncs of several processes overlap."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from dibs.database.sqlite.errors import not_recovered, unsynced
from dibs.platform import durable_sync
from dibs.platform.file_identity import FileId, file_at, file_of
from dibs_schema.refusals import Refusal


def mark_of(database: Path) -> Path:
    """Return the path of the file that marks a failed sync of the database."""
    return Path(f"{database}.unsynced")


class LogSync:
    """The write-ahead log of one database file, as it is synced.

    A commit appends to the log without a sync, and its writer leaves the queue. Then it syncs the log, and only then
    answers. A sync covers the commits of other processes before its own, so an acknowledged change never depends on a
    change that may be lost. A checkpoint syncs the log before it copies from it, and the log restarts only after a
    checkpoint that copied and synced everything: a commit that is no longer in the log is in the database, on disk.

    A sync that fails is never repeated: the kernel may have dropped what it could not write, and reports that once to
    each descriptor. The commit is visible and may be lost in a power cut. So a marker file next to the database stops
    all processes from writing, until `dibs doctor --recover` has put everything that is visible on disk.
    proof/model/commits.pml has the order of these steps. Sources: https://www.sqlite.org/wal.html#ckpt,
    https://www.sqlite.org/pragma.html#pragma_synchronous, fsync(2); https://wiki.postgresql.org/wiki/Fsync_Errors.
    """

    def __init__(self, database: Path, log: bytes) -> None:
        self._database = database
        self._log = log
        self._mark = os.fsencode(mark_of(database))
        self._descriptor: int | None = None
        self._file: FileId = (0, 0)
        self._failed = False
        self._unsynced = False

    def open(self) -> FileId:
        """Open the log, unless it is open, and return which file it is. Raises OSError.

        Call this before a commit, so that its sync cannot fail for that. No lock of SQLite is on this file, so closing it
        drops none.
        """
        if self._descriptor is None:
            self._descriptor = durable_sync.open_to_sync(self._log)
            self._file = file_of(os.fstat(self._descriptor))
        return self._file

    def note_commit(self) -> None:
        """Remember that there is a commit to sync."""
        self._unsynced = True

    def sync_rest(self) -> None:
        """Sync the commits that nobody has synced yet. An error leaves the mark, which later writes meet."""
        if self._unsynced:
            with suppress(Refusal):
                self.sync()

    def sync(self) -> None:
        """Sync the log. Raises OutcomeUnknown if the disk fails, or has failed for another process meanwhile."""
        assert self._descriptor is not None, "it was opened before the commit"
        try:
            durable_sync.sync_data(self._descriptor)
        except OSError as error:
            self._failed = True
            raise unsynced(self._database, marked=self._set_mark()) from error
        if self._failed or self._is_marked():
            raise unsynced(self._database)
        self._unsynced = False

    def refuse_after_failure(self) -> None:
        """Raise DatabaseDamaged if a sync of any process failed, and nobody has recovered the database since."""
        if self._failed or self._is_marked():
            raise not_recovered(self._database)

    def close(self) -> None:
        """Close the log."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _set_mark(self) -> bool:
        """Leave the mark. Without it, the other processes meet the error at their own next sync."""
        with suppress(OSError):
            os.close(os.open(self._mark, os.O_WRONLY | os.O_CREAT, 0o600))
            return True
        return False

    def _is_marked(self) -> bool:
        try:
            file_at(self._mark)
        except FileNotFoundError:
            return False
        except OSError:  # unknown counts as marked
            return True
        return True
