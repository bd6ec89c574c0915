"""A database's file seen from outside: who has it open, and what is in it, without serving it."""

from dibs.database.sqlite.attached import LOCKS, alone, attached
from dibs.database.sqlite.reading_out import (
    copy_pages,
    marks_in,
    read_out,
    refuse_newer,
    schema_in,
    take_in_log,
)

__all__ = [
    "LOCKS",
    "alone",
    "attached",
    "copy_pages",
    "marks_in",
    "read_out",
    "refuse_newer",
    "schema_in",
    "take_in_log",
]
