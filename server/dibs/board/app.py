"""The web application of the board: its routes, and what each answers."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, compile_path
from starlette.staticfiles import StaticFiles

from dibs.board import columns, now
from dibs.board.access import refusal
from dibs.board.actions import ACTIONS, perform
from dibs.board.live import Journal, stream
from dibs.board.page import Asked, Page, View, render, render_live
from dibs.board.wording import BOARD
from dibs_schema.refusals import InvalidInput, NotFound, Refusal

if TYPE_CHECKING:
    from dibs.board.project import Project

PAGES: tuple[Page, ...] = (now.PAGE, columns.PAGE)
NAVIGATION = tuple((page.path, page.heading) for page in PAGES if "{" not in page.path)
FRAGMENT = "text/vnd.dibs.fragment"
"""What the script accepts as the answer to a form: the elements that change, instead of the whole page."""


class Board:
    """The pages, forms and streams of one project."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._journal = Journal(project.database)

    def application(self) -> Starlette:
        """Return the application."""
        return Starlette(
            routes=[
                *(Route(page.path, partial(self._show, page)) for page in PAGES),
                Route("/live", self._live),
                Route("/do/{action}", self._act, methods=["POST"]),
                Mount("/static", StaticFiles(packages=[("dibs.board", "static")])),
            ],
            exception_handlers={Refusal: _refused, HTTPStatus.NOT_FOUND: _not_found},
        )

    async def run(self, closing: anyio.Event) -> None:
        """Watch the journal until cancelled. The streams end when `closing` is set, so that the server can end."""
        async with anyio.create_task_group() as background:
            background.start_soon(self._journal.run)
            await closing.wait()
            self._journal.end()

    async def _show(self, page: Page, request: Request) -> Response:
        asked = Asked(request.path_params, request.query_params)
        view, variables = await self._read(page, asked, _here(request))
        return HTMLResponse(render(page, view, variables))

    async def _live(self, request: Request) -> Response:
        here = request.query_params.get("page", "/")
        page, asked = self._page(here)
        read = partial(self._read, page, asked, here)
        return StreamingResponse(stream(self._journal, page, read), media_type="text/event-stream")

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
                await perform(self._project.session, action, form)
            except Refusal as refused:
                words = refused.worded(BOARD, "Choose")
                status = HTTPStatus.UNPROCESSABLE_ENTITY if refused.code == "invalid_input" else HTTPStatus.CONFLICT
                status = HTTPStatus.FORBIDDEN if refused.code == "forbidden" else status
                view, variables = await self._read(page, asked, here, {alert: words}, given)
                if wants_fragment:
                    return HTMLResponse(_alert(view, alert), status, media_type=FRAGMENT)
                return HTMLResponse(render(page, view, variables), status)
        if not wants_fragment:
            return RedirectResponse(self._project.root + here, HTTPStatus.SEE_OTHER)
        view, variables = await self._read(page, asked, here)
        return HTMLResponse("".join(render_live(page, view, variables).values()), media_type=FRAGMENT)

    def _page(self, here: str) -> tuple[Page, Asked]:
        """Return the page at a path with a query. Raises InvalidInput if it is not the path of a page."""
        parts = urlsplit(here)
        for page in PAGES:
            pattern, _, convertors = compile_path(page.path)
            if (match := pattern.match(parts.path)) and not (parts.scheme or parts.netloc):
                params = {name: convertors[name].convert(value) for name, value in match.groupdict().items()}
                return page, Asked(params, QueryParams(parts.query))
        raise InvalidInput("There is no such page.", field="page")

    async def _read(
        self, page: Page, asked: Asked, here: str, alerts: dict[str, str] | None = None, given: Any = None
    ) -> tuple[View, dict[str, Any]]:
        return await self._project.read(page, asked, here, NAVIGATION, alerts, given)


def _here(request: Request) -> str:
    """Return the path of a request within the project, with its query."""
    path, query = request.scope["path"].removeprefix(request.scope.get("root_path", "")), request.url.query
    return f"{path}?{query}" if query else path


def _alert(view: View, alert: str) -> str:
    from dibs.board.page import templates

    return str(templates().globals["ui"].alert(view, alert))  # type: ignore[attr-defined]  # the module of a template


async def _refused(_: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refusal)
    status = {"not_found": HTTPStatus.NOT_FOUND, "invalid_input": HTTPStatus.UNPROCESSABLE_ENTITY}
    return refusal("This page cannot be shown.", refused.worded(BOARD, "Choose"), status.get(refused.code, 503))


async def _not_found(_: Request, __: Exception) -> Response:
    return refusal("There is no such page.", "The navigation of the first page leads to all of them.", 404)
