"""Imports a list in small parts, and may die on the way: python -m transfer.imports.importing DB FILE [MOMENT]."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dibs.database import open_database
from dibs.settings import Settings
from dibs.transfer import run_import
from dibs.transfer.formats import read_backlog
from dibs.transfer.importer import Import
from faults.points import Death

SMALL_PART = 7
COUNT = 40
UNPUBLISHED = ("before stage_part 0", "after stage_part 0", "after stage_part 5", "before publish_now 0")
PUBLISHED = ("after publish_now 0", "before add_part 0", "after add_part 0", "before add_part 5", "after add_part 5")
"""The moments around the transactions of an import of COUNT features, before and after it counts."""


def listed(count: int = COUNT, name: str = "feature") -> list[dict[str, Any]]:
    """Return a list in which every third feature passes, and some wait for one before them and one after them."""
    return [
        {
            "id": f"f{place}",
            "name": f"{name} {place}",
            "passes": place % 3 == 0,
            "dependencies": [f"f{other}" for other in _needs(place) if other < count],
            "notes": ["look here"] if place % 5 == 0 else [],
            "paths": ["src/*.py"] if place % 2 else [],
        }
        for place in range(count)
    ]


def _needs(place: int) -> Sequence[int]:
    """Return features that a feature waits for: every other one waits for a later one."""
    return [place + 9, place + 3] if place % 2 == 0 else [place - 2] if place > 1 and place % 4 == 1 else []


def import_list(db: str, file: Path, moment: str = "") -> int:
    """Import a list, and return how many features were added. The process dies at the moment, if one is given."""
    run_import.PART = SMALL_PART  # so that a short list has several parts
    database = open_database(Settings(db=db))
    death, counts = Death(moment), dict.fromkeys(("stage_part", "publish_now", "add_part"), 0)
    write_now: Callable[..., Any] = database.write_now

    def dying_write(verb: Any, *how: Any) -> Any:
        name = getattr(verb, "func", verb).__name__
        number = counts.get(name, 0)
        counts[name] = number + 1
        death.come(f"before {name} {number}")
        result = write_now(verb, *how)
        death.come(f"after {name} {number}")
        return result

    database.write_now = dying_write  # type: ignore[assignment, method-assign]  # the real one, with a death before or after
    try:
        return run_import.run_import(database, Import(read_backlog(file), "list.json"), lambda *_: None)[1].added
    finally:
        database.close(patience=5)


if __name__ == "__main__":
    import_list(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
