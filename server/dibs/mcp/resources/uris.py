"""The addresses of resources: `feature://12`, `features://stats`, and where a long one goes on.

The module is light to import: subscriptions are minded beside everything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, quote

from dibs_schema.refusals import InvalidInput, NotFound

Kind = Literal["feature", "stats", "ready", "graph", "events"]

OURS = re.compile(r"features?://", re.IGNORECASE)
LONGEST_CURSOR = 100

_LISTED = re.compile(r"features://(stats|ready|graph|events)/?", re.IGNORECASE)
_FEATURE = re.compile(r"feature://([0-9]+)/?", re.IGNORECASE)
_GOES_ON_BY = {"feature": "cursor", "ready": "cursor", "events": "after"}
"""The one parameter that some addresses take."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a resource's URI says: what is read, of which feature, and from where on."""

    kind: Kind
    feature: int | None = None
    cursor: str | None = None

    def going_on(self, cursor: str) -> str:
        """The URI of what follows."""
        place = f"feature://{self.feature}" if self.kind == "feature" else f"features://{self.kind}"
        return f"{place}?{_GOES_ON_BY[self.kind]}={quote(cursor, safe=':')}"


def is_ours(uri: str) -> bool:
    """Whether a URI has one of our schemes."""
    return OURS.match(uri) is not None


def parse(uri: str) -> Address:
    """What a URI of ours addresses. Raises NotFound where there is nothing like it, InvalidInput for a bad part."""
    from dibs_schema.inputs import GREATEST_ID  # brings shapes that `initialize` need not wait for

    place, _, query = uri.partition("?")
    if listed := _LISTED.fullmatch(place):
        kind: Kind = listed[1].lower()  # type: ignore[assignment]  # the pattern knows the kinds alone
        return Address(kind, cursor=_cursor(kind, query))
    if feature := _FEATURE.fullmatch(place):
        number = int(feature[1][:20])
        if not 1 <= number <= GREATEST_ID:
            raise InvalidInput(f"id: feature:// takes a number from 1 to {GREATEST_ID}.", field="id")
        return Address("feature", number, _cursor("feature", query))
    if place.lower().startswith("feature://"):
        raise InvalidInput("id: feature:// takes a feature's number, as in feature://12.", field="id")
    raise NotFound(
        "There is no such resource. There are features://stats, features://ready, features://graph, "
        "features://events and feature://{id}."
    )


def _cursor(kind: Kind, query: str) -> str | None:
    if not query:
        return None
    known = _GOES_ON_BY.get(kind)
    if known is None:
        raise InvalidInput(f"features://{kind} takes no parameters.", field="uri")
    try:
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=1)
    except ValueError:
        given = []
    if len(given) != 1 or given[0][0] != known:
        raise InvalidInput(f"The address takes one parameter, {known}=….", field="uri")
    cursor = given[0][1]
    if not 1 <= len(cursor) <= LONGEST_CURSOR:
        raise InvalidInput(f"{known}: send it as it came in the last answer.", field=known)
    return cursor
