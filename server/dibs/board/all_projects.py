"""The page of all projects, if a board has several."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from dibs.board.live import EVENT_STREAM, Journal, stream
from dibs.board.now import parts_of
from dibs.board.page import Asked, Page, View, render
from dibs.board.project_site import STATIC
from dibs.queries.overview import get_overview
from dibs_schema.refusals import Refusal

if TYPE_CHECKING:
    from dibs.board.project import Project
    from dibs.database.transaction import Transaction

NOTHING = Asked({}, QueryParams())


def _read(tx: Transaction, project: Project, _: Asked) -> dict[str, Any]:
    overview = get_overview(tx, project.database.label)
    return {"overview": overview, "parts": parts_of(overview.counts)}


PAGE = Page("/", "All projects", "all_projects.html", ("projects",), _read)


class AllProjects:
    """The page of all projects and its stream."""

    def __init__(self, projects: Sequence[Project], journal: Journal) -> None:
        self._projects = projects
        self._journal = journal

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the page and of its stream."""
        return [Route("/", self._show), Route("/live", self._live), STATIC]

    async def _show(self, _: Request) -> Response:
        return HTMLResponse(render(PAGE, *await self._read()))

    async def _live(self, _: Request) -> Response:
        return StreamingResponse(stream(self._journal, PAGE, "", self._read), media_type=EVENT_STREAM)

    async def _read(self) -> tuple[View, dict[str, Any]]:
        """Read all projects. A project that cannot be read is shown with the reason."""
        shown: list[tuple[View, dict[str, Any]]] = []
        failed: list[tuple[Project, Refusal]] = []
        for project in self._projects:
            try:
                shown.append(await project.read(PAGE, NOTHING, "/", ()))
            except Refusal as refusal:
                failed.append((project, refusal))
        view = View(
            root="",
            here="/",
            heading=PAGE.heading,
            navigation=(),
            project="Dibs",
            needs_you=sum(one.needs_you for one, _ in shown),
            may_act=False,
            now=datetime.now(UTC),
            cursor=" ".join(one.cursor for one, _ in shown),
        )
        return view, {"projects": shown, "failed": failed}
