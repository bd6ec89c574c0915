"""One project on the board: its database, and the person who acts on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from dibs.board.page import Asked, Page, View
from dibs.board.wording import BOARD
from dibs.queries.follow import newest
from dibs.queries.open_questions import count_open
from dibs.queries.queue_state import counts
from dibs.session.caller import Caller
from dibs.session.issued_tokens import ClaimMemory
from dibs.session.session import Session
from dibs.settings import Settings, shown_project
from dibs_schema.roles import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dibs.database import Database
    from dibs.database.transaction import Transaction

PATIENCE = 4.0
"""Seconds for which a page waits for the database. A person wants to know within five that it cannot be read."""


class Project:
    """One project on the board. `root` precedes the paths of its pages; `all_projects` is the path of the page of all.

    A person acts on it with the role planner, or viewer if `settings` say so, under the name of this machine's user.
    """

    def __init__(self, database: Database, settings: Settings, root: str = "", all_projects: str | None = None) -> None:
        self.database = database
        self._all_projects = all_projects
        self.root = root
        self.may_act = settings.role.has((Role.PLANNER,))
        person = settings.model_copy(update={"agent": None})
        self.session = Session(database, person, Caller.in_shell(person), ClaimMemory(), wording=BOARD)

    async def read(
        self,
        page: Page,
        asked: Asked,
        here: str,
        navigation: tuple[tuple[str, str], ...],
        alerts: Mapping[str, str] | None = None,
        given: Mapping[str, str] | None = None,
    ) -> tuple[View, dict[str, Any]]:
        """Read a page and what every template knows from one snapshot. Raises the Refusals of the page."""
        view, variables = await self.database.read(
            partial(self._read, page=page, asked=asked, here=here, navigation=navigation, alerts=alerts, given=given),
            patience=PATIENCE,
        )
        if page.after is not None:
            await anyio.to_thread.run_sync(page.after, variables, self.folder)
        return view, variables

    @property
    def folder(self) -> Path:
        """The project's folder: the folder whose `.dibs` has the database, else the served folder."""
        file = self.database.file
        inside = file is not None and file.parent.name == ".dibs"
        return file.parent.parent if file is not None and inside else self.session.settings.folder

    def read_once(self, page: Page, asked: Asked) -> tuple[View, dict[str, Any]]:
        """Read a self-contained page: without an event loop, links and forms."""
        view, variables = self.database.read_now(
            partial(self._read, page=page, asked=asked, here="", navigation=(), alerts=None, given=None)
        )
        return replace(view, may_act=False, has_links=False), variables

    def _read(
        self,
        tx: Transaction,
        page: Page,
        asked: Asked,
        here: str,
        navigation: tuple[tuple[str, str], ...],
        alerts: Mapping[str, str] | None,
        given: Mapping[str, str] | None,
    ) -> tuple[View, dict[str, Any]]:
        found = counts(tx)
        view = View(
            root=self.root,
            here=here,
            heading=page.heading,
            navigation=navigation,
            project=shown_project(tx.project.name, self.database.label),
            needs_you=found.needs_human + found.stuck + found.unconfirmed + count_open(tx),
            may_act=self.may_act,
            now=datetime.fromtimestamp(tx.now, UTC),
            cursor=newest(tx),
            all_projects=self._all_projects,
            alerts=alerts or {},
            given=given or {},
        )
        return view, page.read(tx, self, asked)
