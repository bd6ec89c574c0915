"""A database's file seen from outside: who has it open, and what is in it, without serving it."""

from dibs.database.sqlite.bootstrap import prepare_folder
from dibs.database.sqlite.filesystems import file_system, is_unsafe, refuse_unsafe
from dibs.database.sqlite.lock_holders import alone, attached, is_open_nowhere
from dibs.database.sqlite.offline import (
    copy_pages,
    marks_in,
    read_out,
    refuse_newer,
    schema_in,
    take_in_log,
)

__all__ = [
    "alone",
    "attached",
    "copy_pages",
    "file_system",
    "is_open_nowhere",
    "is_unsafe",
    "marks_in",
    "prepare_folder",
    "read_out",
    "refuse_newer",
    "refuse_unsafe",
    "schema_in",
    "take_in_log",
]
