"""A page of the board: what it reads, and how it is rendered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import QueryParams

from dibs.board.event_words import action, details
from dibs.relative_time import ago, span

if TYPE_CHECKING:
    from dibs.board.project import Project
    from dibs.database.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Asked:
    """What a browser asks of a page: the parameters of its path, the query's, and the values of a form to show."""

    path: Mapping[str, Any]
    query: QueryParams
    given: Mapping[str, str] = field(default_factory=dict)


Read = Callable[["Transaction", "Project", Asked], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a project.

    `path` is relative to the project and may have Starlette's parameters: `/feature/{id:int}`. `heading` is its name in
    the navigation and in the window's title. `read` returns the variables of the `template` from one snapshot; it may
    raise a Refusal, which is shown instead. `live` names the template's blocks that are sent again when they change, and
    `shown` those that only the answer to a form changes, and `refused` those that change when a form is refused.
    `after` completes the variables after the snapshot, with what the project's folder says.
    """

    path: str
    heading: str
    template: str
    live: tuple[str, ...]
    read: Read
    shown: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    after: Callable[[dict[str, Any], Path], None] | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What every template knows, as `view`.

    `root` precedes every path of the project. `here` is the path of this page with its query. `navigation` are the paths
    and headings of the main pages. `needs_you` counts what waits for a person. `may_act` is false for those who may only
    look. `cursor` is the journal's when the page was read. `all_projects` is the path of the page of all projects, if
    there are several. Without `has_links` a page stands alone. `alerts` are refusals by the id of their element, and
    `given` are the values of the form that was refused.
    """

    root: str
    here: str
    heading: str
    navigation: tuple[tuple[str, str], ...]
    project: str
    needs_you: int
    may_act: bool
    now: datetime
    cursor: str
    all_projects: str | None = None
    has_links: bool = True
    alerts: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The window's title: `(2) shop — Dibs`."""
        count = f"({self.needs_you}) " if self.needs_you else ""
        heading = f"{self.heading} — " if self.heading != "Now" else ""
        return f"{count}{heading}{self.project} — Dibs"


@cache
def templates() -> Environment:
    """Return the templates. Every value is escaped; `ui` and `forms` have the macros of their files."""
    found = Environment(
        loader=PackageLoader("dibs.board"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters |= {"ago": ago, "span": span, "iso": _iso, "action": action, "details": details}
    for name in ("ui", "forms"):
        found.globals[name] = found.get_template(f"{name}.html").module
    return found


def render(page: Page, view: View, variables: Mapping[str, Any]) -> str:
    """Return a page as a whole document."""
    return templates().get_template(page.template).render(variables, view=view)


def render_blocks(page: Page, names: Iterable[str], view: View, variables: Mapping[str, Any]) -> dict[str, str]:
    """Return the elements of a page by the names of their blocks."""
    template = templates().get_template(page.template)
    context = template.new_context({**variables, "view": view})
    return {name: "".join(template.blocks[name](context)) for name in names}


def alert_of(id_: str, words: str) -> str:
    """Return the element that shows a refusal."""
    return str(templates().get_template("alert.html").render(id=id_, words=words))


def _iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
