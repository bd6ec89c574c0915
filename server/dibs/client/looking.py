"""The methods that only look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from dibs.client.calls import Calls
from dibs_schema.answers import Feature, Graph, History, Page, Stats, Summaries
from dibs_schema.inputs import StatusName


class Looking(Calls):
    """What everybody may do. Lists are pages: `next_cursor` of one, sent as `cursor`, gets the next."""

    async def get(self, feature_id: int, cursor: str | None = None) -> Feature:
        """Read a feature whole; `cursor` goes on with a long text. Raises NotFound."""
        return await self._ask(Feature, "feature_get_by_id", feature_id=feature_id, cursor=cursor)

    async def summaries(
        self, feature_id: int | None = None, feature_ids: Sequence[int] | None = None
    ) -> Summaries:
        """A line each for one feature or for 1 to 50; `missing` are the ids that do not exist."""
        return await self._ask(
            Summaries, "feature_get_summary", feature_id=feature_id, feature_ids=feature_ids
        )

    async def search(
        self,
        text: str | None = None,
        status: StatusName | None = None,
        category: str | None = None,
        agent: str | None = None,
        detail: Literal["brief", "full"] = "brief",
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page:
        """Find features by text (in name, category, reference), status, category, holder; 1 to 100 at a time.

        With `detail="full"` each row brings its own text, cut at 2,000 characters.
        """
        return await self._ask(
            Page,
            "feature_search",
            text=text,
            status=status,
            category=category,
            agent=agent,
            detail=detail,
            limit=limit,
            cursor=cursor,
        )

    async def ready(self, limit: int = 10, cursor: str | None = None) -> Page:
        """What can be claimed now, in the order in which it is; 1 to 50 at a time."""
        return await self._ask(Page, "feature_get_ready", limit=limit, cursor=cursor)

    async def blocked(self, limit: int = 20, cursor: str | None = None) -> Page:
        """What cannot be claimed, and why; 1 to 100 at a time."""
        return await self._ask(Page, "feature_get_blocked", limit=limit, cursor=cursor)

    async def graph(
        self,
        root: int | None = None,
        depth: int | None = None,
        limit: int = 50,
        format: Literal["json", "mermaid"] = "json",  # noqa: A002 - the tool's name for it
    ) -> Graph:
        """Which features depend on which: all, or what `root` builds on, `depth` (0 to 50) steps down."""
        return await self._ask(Graph, "feature_get_graph", root=root, depth=depth, limit=limit, format=format)

    async def history(self, feature_id: int, limit: int = 20, cursor: str | None = None) -> History:
        """What happened to a feature, newest first; 1 to 100 at a time. Raises NotFound."""
        return await self._ask(
            History, "feature_get_history", feature_id=feature_id, limit=limit, cursor=cursor
        )

    async def stats(self, by: Literal["category", "agent"] | None = None) -> Stats:
        """How far the project is, and which database says so."""
        return await self._ask(Stats, "feature_get_stats", by=by)
