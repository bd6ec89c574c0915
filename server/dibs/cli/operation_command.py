"""Builds the command of an operation from its row. It has the tool's arguments and the tool's answer."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

import anyio
import click
from pydantic import ValidationError

from dibs.cli.options import PLACE, backlog, print_json, say_refusals, setting_option
from dibs.cli.shell_wording import SHELL, option
from dibs.cli.terminal_text import print_text
from dibs.session.caller import Caller
from dibs.session.session import Session, refuse_role
from dibs.session.token_files import TokenFiles
from dibs.settings import Settings
from dibs_schema.operations import AnyOperation, adapter, argument_name, read_arguments
from dibs_schema.validation import invalid_argument

if TYPE_CHECKING:
    from dibs_schema.answers import Answer

Given = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Invocation:
    """One run of a command: the operation, its checked arguments, and all parameters of the command line."""

    session: Session
    operation: AnyOperation
    arguments: Any
    given: Given
    as_json: bool


def perform(invocation: Invocation) -> None:
    """Perform the operation and print its answer."""
    answer = anyio.run(invocation.session.perform, invocation.operation, invocation.arguments)
    print_answer(answer, as_json=invocation.as_json)


@dataclass(frozen=True, slots=True)
class Convenience:
    """The differences between a command's parameters and its operation's parameters.

    `params` adds or replaces parameters. `convert` returns the operation to perform and its arguments, from the given
    parameters. `without` names parameters of the operation that the command does not have. `settings` names further
    settings that the command takes as options. `run` replaces `perform`. `makes` says that the command creates a
    missing backlog.
    """

    params: tuple[click.Parameter, ...] = ()
    convert: Callable[[AnyOperation, Given], tuple[AnyOperation, Given]] = lambda operation, given: (operation, given)
    without: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    run: Callable[[Invocation], None] = perform
    makes: bool = False


def command_of(operation: AnyOperation, convenience: Convenience) -> click.Command:
    """Build the command of an operation."""
    settings = [
        *(("agent",) if not operation.reads else ()),
        *(("token",) if "claim_token" in operation.parameters else ()),
        *PLACE,
        *convenience.settings,
        "role",
    ]

    def run(*, as_json: bool, **given: Any) -> None:
        flags = {name: given.pop(name) for name in settings}
        read = Settings.read(flags)
        refuse_role(read.role, operation, SHELL)
        parameters = {name: one for name, one in given.items() if one is not None and one != ()}
        performed, converted = convenience.convert(operation, parameters)
        ignored: list[str] = []
        arguments = read_arguments(performed, converted, ignored)
        if ignored:
            click.echo(f"dibs: ignored, since nothing here has this name: {', '.join(ignored)}", err=True)
        with backlog(flags, make=convenience.makes, read_only=performed.reads) as database:
            memory = TokenFiles.of(read, database)
            session = Session(database, read, Caller.in_shell(read), memory, wording=SHELL)
            convenience.run(Invocation(session, performed, arguments, given, as_json))

    as_json = click.Option(["--json", "as_json"], is_flag=True, help="Print the tool's answer as JSON.")
    return click.Command(
        operation.command.words.split()[0],
        params=[
            *_parameters(operation, convenience),
            *convenience.params,
            *(setting_option(name) for name in settings),
            as_json,
        ],
        callback=say_refusals(run),
        help=operation.command.help or operation.arguments.__doc__,
    )


def checked(kind: Any, given: Any) -> Any:
    """Convert `given` to the type `kind`. Raises InvalidInput, which names the first invalid argument."""
    try:
        return adapter(kind).validate_python(given)
    except ValidationError as error:
        raise invalid_argument(error) from None


def checked_as(name: str, kind: Any, given: Any) -> Any:
    """Convert one argument to the type `kind`. Raises InvalidInput, which names it."""
    return checked(dict[str, kind], {name: given})[name]


def print_answer(answer: Answer, *, as_json: bool) -> None:
    """Print an answer in the tool's JSON form, or as text for people."""
    worded = answer.worded(SHELL, "Run")
    if as_json:
        print_json(worded.wire())
    else:
        print_text(worded)


def _parameters(operation: AnyOperation, convenience: Convenience) -> list[click.Parameter]:
    hints = {argument_name(name): hint for name, hint in get_type_hints(operation.arguments).items()}
    absent = {*convenience.without, *(one.name for one in convenience.params)}
    if not operation.reads:
        absent |= {"agent", "claim_token"}  # they are settings: DIBS_AGENT, DIBS_TOKEN
    own = {argument_name(one.name): one for one in fields(operation.arguments) if one.name not in absent}
    positional = [name for name in operation.command.positional if name in own]
    arguments: list[click.Parameter] = [
        click.Argument([name], type=_kind(hints[name])[0], required=own[name].default is MISSING) for name in positional
    ]
    options = [_option(operation, name, hints[name], own[name]) for name in own if name not in positional]
    return [*arguments, *options]


def _option(operation: AnyOperation, name: str, hint: Any, field: Any) -> click.Option:
    kind, several = _kind(hint)
    default = None if field.default is MISSING else field.default
    more: dict[str, Any] = {"type": kind, "multiple": several}
    if kind is bool:
        more = {"is_flag": True} if default is False else {}
    elif default is not None:
        more["show_default"] = True
    return click.Option(
        [option(operation.command, name), name],
        default=default,
        required=field.default is MISSING,
        help=operation.command.texts.get(name),
        **more,
    )


def _kind(hint: Any) -> tuple[Any, bool]:
    """Return the type that click converts to, and whether there may be several values. JSON stays a string."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(one for one in get_args(hint) if one is not type(None))
    if get_origin(hint) is Literal:
        return click.Choice(list(get_args(hint))), False
    if get_origin(hint) is list and get_args(hint)[0] in (int, str):
        return get_args(hint)[0], True
    return (hint if hint in (int, float, bool) else str), False
