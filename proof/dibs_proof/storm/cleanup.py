"""What a storm leaves in a database, and how it goes away again."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import bindparam, delete

from dibs.settings import Settings
from dibs.transfer.bulk import BulkDatabase
from dibs.transfer.project_rows import clear
from dibs_proof.storm.plan import Plan
from dibs_schema.refusals import InvalidInput
from dibs_schema.tables import projects

BESIDE = ("", "-wal", "-shm", "-journal", ".lock")
"""What the names of a database's files end in."""


def refuse_place(plan: Plan) -> None:
    """Raise InvalidInput where there is no folder for the file that the plan names: it may be mistyped."""
    file = _site(plan).file
    if file is not None and not file.parent.is_dir():
        raise InvalidInput(
            f"There is no folder {file.parent}. Nothing was made; a storm makes none.", field="db"
        )


def remove(plan: Plan) -> None:
    """Remove what the storm has made in the database: its file, or the rows of its project."""
    site = _site(plan)
    if site.file is not None:
        for end in BESIDE:
            Path(f"{site.file}{end}").unlink(missing_ok=True)
        return
    with site.opened(), site.writing(exclusive=True) as tx:
        clear(tx)
        tx.run(delete(projects).where(projects.c.id == bindparam("project")))
        tx.commit(introduced=False)


def where(plan: Plan) -> str:
    """Where a person finds what the storm has made, without the words that open it."""
    return f"the project {plan.project!r} in {_site(plan).label}"


def _site(plan: Plan) -> BulkDatabase:
    return BulkDatabase(Settings(db=plan.db, project=plan.project))
