"""A command that stands for a tool: its arguments are checked as the tool's are, and its answer is the tool's."""

from __future__ import annotations

import functools
import getpass
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import click
from pydantic import ValidationError, create_model

from dibs.cli.options import (
    NOTHING_FOR_AGENTS,
    NOTHING_FREE,
    NOTHING_LEFT,
    PLACE,
    Command,
    backlog,
    print_json,
    say_refusals,
    settings_options,
)
from dibs.cli.spelling import refuse_role, spoken
from dibs.session.token_files import Kept, Shelf, shelf_of
from dibs.settings import Settings
from dibs_schema.answers import Answer, Idle
from dibs_schema.validation import unfitting

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs.database.transaction import Transaction
    from dibs.rules.claimant import Holder

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One call from a shell: who makes it, on which backlog, and how the answer is printed."""

    settings: Settings
    flags: dict[str, Any]
    as_json: bool

    @property
    def author(self) -> str:
        """Who acts without a claim: the agent, or the user of the machine."""
        return self.settings.agent or getpass.getuser()

    def claimant(self) -> Holder:
        """Who claims, with the token that the claim will have; no connection stands for its life.

        Without an agent's name each call is a claim of its own, as on a connection.
        """
        from dibs.rules.claimant import Holder, new_token

        named = self.settings.agent is not None
        name = self.author if named else f"{getpass.getuser()[:90]}-{secrets.token_hex(2)}"
        return Holder(name, named, None, self.settings.detached_lease, new_token())

    @contextmanager
    def backlog(self, *, make: bool = False) -> Iterator[Database]:
        """The backlog, closed at the end; only `make` brings a new one into being."""
        with backlog(self.flags, make=make) as database:
            yield database

    def shelf(self, database: Database) -> Shelf:
        """Where this agent's tokens are kept; nowhere without a name."""
        return shelf_of(self.settings, database.file, database.label)

    def read(self, verb: Callable[[Transaction], T]) -> T:
        """What the verb sees in the backlog."""
        with self.backlog() as database:
            return database.read_now(verb)

    def write(self, verb: Callable[[Transaction], T], *, make: bool = False) -> T:
        """What the verb did to the backlog."""
        with self.backlog(make=make) as database:
            return database.write_now(verb)

    def move(
        self, feature: int, verb: Callable[[Transaction, str, str | None], T], *, ends: bool = True
    ) -> T:
        """Make a move of a claim, with its token: the one sent, or the one kept. What has ended is kept no more."""
        with self.backlog() as database:
            shelf = self.shelf(database)
            kept = [] if self.settings.token else shelf.of(feature)

            def run(tx: Transaction) -> tuple[T, str | None]:
                token = self.settings.token or meant(tx, kept)
                return verb(tx, self.author, token), token

            answer, token = database.write_now(run)
            if ends:
                shelf.drop(feature, token)
            return answer

    def print(self, answer: Answer) -> None:
        """Print the answer: as the tool sends it, or in words for people."""
        told = getattr(answer, "message", None) or getattr(answer, "hint", None)
        if told:
            name = "message" if hasattr(answer, "message") else "hint"
            answer = answer.model_copy(update={name: spoken(told)})
        if self.as_json:
            print_json(answer.wire())
        else:
            from dibs.cli.words import say

            say(answer)


def meant(tx: Transaction, kept: list[Kept]) -> str | None:
    """Which of the kept tokens of a feature is good; else the newest, whose claim is lost; None where none is kept."""
    from dibs.rules.diagnosis import holder_of

    live = (one.token for one in kept if holder_of(tx, one.feature, one.token) is not None)
    return next(live, kept[-1].token if kept else None)


def calls(tool: str, *settings: str) -> Callable[[Callable[..., Answer]], Command]:
    """Make a command of a function that takes a Call and the tool's arguments, and returns its answer.

    The arguments are checked by their annotations, as the tool's are.
    """

    def around(function: Callable[..., Answer]) -> Command:
        @functools.wraps(function)
        def run(*, as_json: bool, **given: Any) -> None:
            flags = {name: given.pop(name) for name in (*PLACE, *settings, "role")}
            call = Call(Settings.read(flags), flags, as_json)
            refuse_role(call.settings.role, tool)
            hints = get_type_hints(function, include_extras=True)
            answer = function(call, **fitting(hints, given))
            call.print(answer)

        as_json = click.option(
            "--json", "as_json", is_flag=True, help="Print what the tool answers, as JSON."
        )
        return settings_options(*PLACE, *settings, "role")(as_json(say_refusals(run)))

    return around


def status_of(answer: Answer) -> int:
    """0, or why a claim got nothing: for now, because nothing is left, or because a person must act first."""
    if not isinstance(answer, Idle):
        return 0
    if answer.state in ("complete", "empty"):
        return NOTHING_LEFT
    return (
        NOTHING_FREE if answer.state in ("waiting_for_claims", "waiting_for_back_off") else NOTHING_FOR_AGENTS
    )


def fitting(types: Mapping[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The arguments as their types want them. Raises InvalidInput naming the first that does not fit."""
    wanted: dict[str, Any] = {name: (types[name], ...) for name in given}
    try:
        checked = create_model("Arguments", **wanted).model_validate(given)
    except ValidationError as error:
        raise unfitting(error) from None
    return {name: getattr(checked, name) for name in given}
