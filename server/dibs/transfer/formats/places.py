"""The places where other tools keep their backlogs in a repository."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PLACES: Final = (
    "feature_list.json", "features.json", "prd.json", "*/prd.json", "*/ralph/prd.json", ".beads/issues.jsonl",
    ".beads/beads.jsonl", ".taskmaster/tasks/tasks.json", "tasks/tasks.json", "tasks.json", "*/tasks.json",
    "specs/*/tasks.md", ".kiro/specs/*/tasks.md", "openspec/changes/*/tasks.md", "backlog", ".backlog",
    "TODO.md", "todo.md", "TASKS.md", "IMPLEMENTATION_PLAN.md", "PLAN.md", "fix_plan.md", "@fix_plan.md",
    ".ralph/fix_plan.md", "features.db", ".autoforge/features.db", ".autocoder/features.db", "kanban.db",
)  # fmt: skip
"""Where tools keep their backlogs, as globs; of a folder, only one of Backlog.md counts."""

MOST_FOUND: Final = 200


def places_in(root: Path) -> list[Path]:
    """Return at most `MOST_FOUND` places in a folder that have a backlog; symbolic links are left out."""
    found: dict[Path, None] = {}
    for path in (one for place in PLACES for one in sorted(root.glob(place))):
        if path.is_symlink() or not (path.is_file() or (path / "tasks").is_dir()):
            continue
        is_known = any(path.samefile(one) for one in found if one.name.lower() == path.name.lower())
        if len(found) < MOST_FOUND and not is_known:
            found[path] = None
    return list(found)
