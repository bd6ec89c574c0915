"""The web application of the board: one project, or several and a page of all."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

from dibs.board import add, columns, events, feature, feature_list, graph, now
from dibs.board.access import refusal
from dibs.board.all_projects import AllProjects
from dibs.board.live import Journal
from dibs.board.page import Page
from dibs.board.project_site import ProjectSite, status_of
from dibs.board.wording import BOARD
from dibs_schema.refusals import Refusal

if TYPE_CHECKING:
    from dibs.board.project import Project

PAGES: tuple[Page, ...] = (
    now.PAGE,
    columns.PAGE,
    feature_list.PAGE,
    events.PAGE,
    add.PAGE,
    feature_list.SELECTED,
    feature.PAGE,
    graph.PAGE,
)
"""The pages of each project. Those with a path without parameters are in the navigation, in this order."""


class Board:
    """The board of one or more projects. With several, each project's root is its position in the list: `/1`, `/2`."""

    def __init__(self, projects: Sequence[Project]) -> None:
        self._projects = projects
        self._journal = Journal([one.database for one in projects])

    def application(self) -> Starlette:
        """Return the application."""
        sites = [ProjectSite(one, self._journal, PAGES).routes() for one in self._projects]
        if len(sites) == 1:
            (routes,) = sites
        else:
            several = [Mount(f"/{place}", routes=site) for place, site in enumerate(sites, 1)]
            routes = [*several, *AllProjects(self._projects, self._journal).routes()]
        return Starlette(routes=routes, exception_handlers={Refusal: _refused, HTTPStatus.NOT_FOUND: _not_found})

    async def run(self, closing: anyio.Event) -> None:
        """Watch the journals until cancelled. The streams end when `closing` is set, so that the server can end."""
        async with anyio.create_task_group() as background:
            background.start_soon(self._journal.run)
            await closing.wait()
            self._journal.end()


async def _refused(_: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refusal)
    return refusal("This page cannot be shown.", refused.worded(BOARD, "Choose"), status_of(refused))


async def _not_found(_: Request, __: Exception) -> Response:
    return refusal("There is no such page.", "The navigation of the first page leads to all of them.", 404)
