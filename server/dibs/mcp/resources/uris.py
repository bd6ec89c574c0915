"""The URIs of resources: `feature://12`, `features://stats`, and the following pages of long ones.

The module imports little, since the server loads it before it answers `initialize`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, quote

from dibs_schema.refusals import InvalidInput, NotFound

Kind = Literal["feature", "stats", "overview", "ready", "graph", "events"]

_SCHEMES = re.compile(r"features?://", re.IGNORECASE)
_LISTED = re.compile(r"features://(stats|overview|ready|graph|events)/?", re.IGNORECASE)
_FEATURE = re.compile(r"feature://([0-9]+)/?", re.IGNORECASE)
_CURSOR_PARAMETER = {"feature": "cursor", "ready": "cursor", "events": "after"}
"""The parameter that some URIs take."""


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a resource's URI: its kind, its feature's id, and the cursor from which to continue."""

    kind: Kind
    feature: int | None = None
    cursor: str | None = None

    def following(self, cursor: str) -> str:
        """Return the URI of the next page."""
        place = f"feature://{self.feature}" if self.kind == "feature" else f"features://{self.kind}"
        return f"{place}?{_CURSOR_PARAMETER[self.kind]}={quote(cursor, safe=':')}"


def is_ours(uri: str) -> bool:
    """Return whether a URI has the scheme `feature` or `features`."""
    return _SCHEMES.match(uri) is not None


def parse(uri: str) -> Address:
    """Parse a URI of Dibs. Raises NotFound for an unknown resource, and InvalidInput for an invalid id or cursor."""
    from dibs_schema.inputs import GREATEST_ID  # the import takes time before `initialize`

    place, _, query = uri.partition("?")
    if listed := _LISTED.fullmatch(place):
        kind: Kind = listed[1].lower()  # type: ignore[assignment]  # the pattern matches only kinds
        return Address(kind, cursor=_cursor(kind, query))
    if feature := _FEATURE.fullmatch(place):
        number = int(feature[1][:20])
        if not 1 <= number <= GREATEST_ID:
            raise InvalidInput(f"id: feature:// takes a number from 1 to {GREATEST_ID}.", field="id")
        return Address("feature", number, _cursor("feature", query))
    if place.lower().startswith("feature://"):
        raise InvalidInput("id: feature:// takes a feature's number, as in feature://12.", field="id")
    raise NotFound(
        "There is no such resource. There are features://stats, features://overview, features://ready, "
        "features://graph, features://events and feature://{id}."
    )


def _cursor(kind: Kind, query: str) -> str | None:
    if not query:
        return None
    known = _CURSOR_PARAMETER.get(kind)
    if known is None:
        raise InvalidInput(f"features://{kind} takes no parameters.", field="uri")
    try:
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=1)
    except ValueError:
        given = []
    if len(given) != 1 or given[0][0] != known:
        raise InvalidInput(f"The address takes one parameter, {known}=….", field="uri")
    cursor = given[0][1]
    if not 1 <= len(cursor) <= 100:
        raise InvalidInput(f"{known}: send the cursor of the last answer unchanged.", field=known)
    return cursor
