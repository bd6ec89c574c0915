"""How servers of comparable tools are asked to do the same work, one module for each.

An adapter speaks the tools of one kind of server over stdio. Nothing of that server's code is here.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from bench.driver import Timed
from bench.fleet import Agent, Call


@dataclass(frozen=True, slots=True)
class Planned:
    """A feature of the backlog that is worked on: its texts, and the places in its batch of what it needs."""

    category: str
    name: str
    description: str
    steps: Sequence[str]
    needs: Sequence[int]


class Adapter(Protocol):
    """A module that knows the tools of one kind of server."""

    def fill(self, batch: Sequence[Planned]) -> Iterator[Call]:
        """The calls that create these features behind those that exist, numbered on from 1."""

    def look(self) -> Call:
        """A call that only reads: who answers it has opened its database."""

    def claim(self, feature: int) -> Call:
        """The call by which many ask for the same feature."""

    def won(self, timed: Timed) -> bool:
        """Whether that call was the one that got the feature. Raises Failed where it is neither won nor lost."""

    def finish(self, feature: int) -> Call:
        """The call by which the winner ends its claim."""

    def agent(self, number: int) -> Agent:
        """Claim and pass what is ready until nothing is left; returns how many features were passed."""


def names() -> list[str]:
    """The adapters that there are."""
    return [module.name for module in pkgutil.iter_modules(__path__)]


def adapter(name: str) -> Adapter:
    """The adapter of that name."""
    return cast("Adapter", importlib.import_module(f"{__name__}.{name}"))


def content(timed: Timed) -> dict[str, Any]:
    """The structured content of an answer."""
    found: dict[str, Any] = timed.answer["structuredContent"]
    return found
