"""The pages, forms and streams of one project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route, compile_path
from starlette.staticfiles import StaticFiles

from dibs.board.actions import ACTIONS
from dibs.board.live import EVENT_STREAM, Journal, stream
from dibs.board.page import Asked, Page, View, alert_of, render, render_blocks
from dibs.board.wording import BOARD
from dibs_schema.refusals import InvalidInput, NotFound, Refusal, Unavailable

if TYPE_CHECKING:
    from dibs.board.project import Project

FRAGMENT = "text/vnd.dibs.fragment"
"""What the script accepts as the answer to a form: the elements that change, instead of the whole page."""
STATIC = Mount("/static", StaticFiles(packages=[("dibs.board", "static")]))


class ProjectSite:
    """The pages, forms and streams of one project."""

    def __init__(self, project: Project, journal: Journal, pages: Sequence[Page]) -> None:
        self._project = project
        self._journal = journal
        self._pages = pages
        self._navigation = tuple((page.path, page.heading) for page in pages if "{" not in page.path)

    def routes(self) -> list[BaseRoute]:
        """Return its routes."""
        return [
            *(Route(page.path, partial(self._show, page)) for page in self._pages),
            Route("/live", self._live),
            Route("/do/{action}", self._act, methods=["POST"]),
            STATIC,
        ]

    async def _show(self, page: Page, request: Request) -> Response:
        asked = Asked(request.path_params, request.query_params)
        view, variables = await self._read(page, asked, _here(request))
        return HTMLResponse(render(page, view, variables))

    async def _live(self, request: Request) -> Response:
        here = request.query_params.get("page", "/")
        page, asked = self._page(here)
        read = partial(self._read, page, asked, here)
        events = stream(self._journal, page, self._project.root + here, read)
        return StreamingResponse(events, media_type=EVENT_STREAM)

    async def _act(self, request: Request) -> Response:
        """Perform an action; answer with the changed page, or with the refusal in the form's alert."""
        async with request.form() as form:
            given = {name: value for name, value in form.items() if isinstance(value, str)}
            here, alert = given.get("back", "/"), given.get("alert", "alert")
            page, asked = self._page(here)
            wants_fragment = FRAGMENT in request.headers.get("accept", "")
            action = ACTIONS.get(request.path_params["action"])
            if action is None:
                raise NotFound("There is no such action.")
            try:
                await action.perform(self._project, form)
            except Refusal as refused:
                return await self._refuse(page, asked, here, refused, alert, given, whole=not wants_fragment)
        if not (action.shows or wants_fragment):
            return RedirectResponse(self._project.root + here, HTTPStatus.SEE_OTHER)
        view, variables = await self._read(page, replace(asked, given=given if action.shows else {}), here)
        if not wants_fragment:
            return HTMLResponse(render(page, view, variables))
        blocks = render_blocks(page, page.shown if action.shows else (*page.live, *page.shown), view, variables)
        return HTMLResponse("".join(blocks.values()), media_type=FRAGMENT)

    async def _refuse(
        self, page: Page, asked: Asked, here: str, refused: Refusal, alert: str, given: dict[str, str], *, whole: bool
    ) -> Response:
        """Answer a refused form with its alert, or with the whole page. The feature or question may no longer exist."""
        words, status = refused.worded(BOARD, "Choose"), status_of(refused)
        if not whole:
            changed = ""
            if page.refused:
                view, variables = await self._read(page, asked, here, {alert: words}, given)
                changed = "".join(render_blocks(page, page.refused, view, variables).values())
            return HTMLResponse(alert_of(alert, words) + changed, status, media_type=FRAGMENT)
        for shown_in in (alert, "alert"):
            view, variables = await self._read(page, asked, here, {shown_in: words}, given)
            document = render(page, view, variables)
            if f'id="{shown_in}"' in document:
                break
        return HTMLResponse(document, status)

    def _page(self, here: str) -> tuple[Page, Asked]:
        """Return the page at a path with a query. Raises InvalidInput if it is not the path of a page."""
        parts = urlsplit(here)
        for page in self._pages:
            pattern, _, convertors = compile_path(page.path)
            if (match := pattern.match(parts.path)) and not (parts.scheme or parts.netloc):
                params = {name: convertors[name].convert(value) for name, value in match.groupdict().items()}
                return page, Asked(params, QueryParams(parts.query))
        raise InvalidInput("There is no such page.", field="page")

    async def _read(
        self, page: Page, asked: Asked, here: str, alerts: dict[str, str] | None = None, given: Any = None
    ) -> tuple[View, dict[str, Any]]:
        return await self._project.read(page, asked, here, self._navigation, alerts, given)


def _here(request: Request) -> str:
    """Return the path of a request within the project, with its query."""
    path, query = request.scope["path"].removeprefix(request.scope.get("root_path", "")), request.url.query
    return f"{path}?{query}" if query else path


def status_of(refused: Refusal) -> int:
    """Return the status of an answer that says why something was refused."""
    codes = {"not_found": HTTPStatus.NOT_FOUND, "invalid_input": HTTPStatus.UNPROCESSABLE_ENTITY}
    codes["forbidden"] = HTTPStatus.FORBIDDEN
    if isinstance(refused, Unavailable):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return codes.get(refused.code, HTTPStatus.CONFLICT)
