"""Draws the pictures of the board for the documentation: `python -m board.browser.pictures FOLDER`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from sqlalchemy import func, select, update

from board.browser import scene
from board.browser.windows import PHONE, Windows, chromium
from board.people import board_on
from dibs.database import open_database
from dibs.database.transaction import Transaction
from dibs.rules.conditions import is_
from dibs.settings import Settings
from dibs_schema.status import Kind, Status
from dibs_schema.tables import events, features, questions
from races.servers import serving

DESKTOP = {"width": 1_120, "height": 680}
MOST_BYTES = 150_000
SECONDS = 48
"""Between two events."""


def _age(db: str) -> None:
    """Move what has happened into the past."""
    database = open_database(Settings(db=db))
    newest = select(func.max(events.c.id)).scalar_subquery()
    claimed = select(func.max(events.c.at)).where(events.c.feature_id == features.c.id, events.c.kind == Kind.CLAIM)

    def age(tx: Transaction) -> None:
        tx.run(update(events).values(at=tx.now - SECONDS * (newest - events.c.id)))
        tx.run(update(features).where(is_(Status.IN_PROGRESS)).values(claimed_at=claimed.scalar_subquery()))
        tx.run(update(questions).values(asked_at=tx.now - SECONDS * len(scene.AGENTS)))

    database.write_now(age)
    database.close(patience=5)


def draw(folder: Path) -> None:
    """Write pictures of Now and Board in both themes, and of Now on a phone."""
    with tempfile.TemporaryDirectory() as root:
        db = str(Path(root) / "ladle" / ".dibs" / "features.db")
        with serving(db) as start:
            scene.fill(db, start("--role", "planner"))
            scene.agents_at_work(start)
            _age(db)
            with board_on(db) as board, chromium() as browser:
                windows = Windows(browser, board)
                for theme in ("light", "dark"):
                    for name, path in (("now", "/"), ("board", "/board")):
                        page = windows.open(path, viewport=DESKTOP, color_scheme=theme)
                        _keep(page.screenshot(), folder / f"{name}-{theme}.png")
                _keep(windows.open(viewport=PHONE).screenshot(), folder / "now-phone.png")
                windows.close()


def _keep(picture: bytes, file: Path) -> None:
    assert len(picture) < MOST_BYTES, f"{file.name} has {len(picture)} bytes"
    file.write_bytes(picture)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
