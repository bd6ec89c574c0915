"""The definition of an operation: its form on each face, its roles, its arguments and its answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property, partial
from inspect import Parameter, Signature
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, dataclass_transform, get_type_hints, overload

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated_dataclass

from dibs_schema.answers import Answer
from dibs_schema.lenient_input import MAY_BE_EMPTY, Leniency, MisspelledError, is_filler, without_empty, without_unknown
from dibs_schema.refusals import InvalidInput
from dibs_schema.roles import Role
from dibs_schema.validation import invalid_argument, problems

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A", bound=Answer)
B = TypeVar("B", bound=Answer)
A_co = TypeVar("A_co", bound=Answer, covariant=True)


@dataclass_transform(frozen_default=True)
def arguments(cls: type[T]) -> type[T]:
    """Turn a class into the arguments of an operation. Its docstring describes the operation to an agent."""
    validated: Any = validated_dataclass(config=ConfigDict(extra="forbid", defer_build=True), frozen=True)(cls)
    result: type[T] = validated
    return result


def argument_name(field: str) -> str:
    """Return the name of a parameter as callers send it. Python reserves some words: `in_` is sent as `in`."""
    return field.removesuffix("_")


_adapters: dict[Any, TypeAdapter[Any]] = {}


def adapter(kind: Any) -> TypeAdapter[Any]:
    """Return the validator for values of `kind`, which is built at the first use."""
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def read_arguments(
    operation: AnyOperation, given: Mapping[str, Any], ignored: list[str] | None = None, *, from_model: bool = False
) -> Any:
    """Check and convert the arguments of an operation. Raises InvalidInput, which names the invalid ones.

    An optional argument that is empty counts as absent. Unknown arguments are refused, or ignored and added to
    `ignored` if that is given and their names resemble no known one. An optional argument `from_model` also counts as
    absent if it is 0 or false and that is refused, since some models fill in every argument.
    """
    leniency = None if ignored is None else Leniency(ignored, partial=_is_true(given.get("partial")))
    try:
        known = without_unknown(given, operation.parameters, leniency)
    except MisspelledError as error:
        raise InvalidInput(f"{error}. Nothing was changed.", field=error.name) from None
    present = without_empty(known, operation.optional, operation.may_be_empty)
    try:
        return adapter(operation.arguments).validate_python(present, context=leniency)
    except ValidationError as error:
        rejected = {str(place[0]) for place, _, _ in problems(error) if len(place) == 1}
        fillers = {name for name in rejected & operation.optional if is_filler(present.get(name, MISSING))}
        if not (fillers and from_model):
            raise invalid_argument(error, operation.parameters) from None
        others = {name: value for name, value in present.items() if name not in fillers}
        return read_arguments(operation, others, ignored, from_model=True)


def _is_true(value: Any) -> bool:
    try:
        return adapter(bool).validate_python(value) is True
    except ValidationError:
        return False


@dataclass(frozen=True, slots=True)
class Command:
    """An operation as a shell command.

    `words` follows `dibs` on the command line, with a flag if several operations share a command. `positional` lists
    the parameters given as arguments, in order. Every other parameter is an option: `--name` with hyphens, or as
    `options` spells it. `texts` are the help texts of the parameters. `help` is the command's help text; the default
    is the text for agents.
    """

    words: str
    positional: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    help: str = ""


@dataclass(frozen=True, slots=True)
class Answers(Generic[A_co]):
    """The possible classes of an operation's answer."""

    classes: tuple[type[Answer], ...]


def only(one: type[A]) -> Answers[A]:
    """The operation always answers with this class."""
    return Answers((one,))


def either(one: type[A], other: type[B]) -> Answers[A | B]:
    """The operation answers with one of these classes."""
    return Answers((one, other))


class Calling(Protocol):
    """An object whose methods are operations, and return coroutines."""

    def call_operation(self, operation: Operation[Any, A], *args: Any, **kwargs: Any) -> Coroutine[Any, Any, A]:
        """Call an operation."""


class Blocking(Protocol):
    """An object whose methods are operations, and wait for the answer."""

    def wait_for_operation(self, operation: Operation[Any, A], *args: Any, **kwargs: Any) -> A:
        """Call an operation and wait for its answer."""


class Operation(Generic[P, A]):
    """One operation, as an attribute of the class that lists its group.

    `group` is that class's name in lower case, and the module of `dibs.session` with the operation's function.
    `method`, the attribute's name, is the name of that function and of the Python client's method. `reads` says that
    the operation changes nothing, `destroys` that it overwrites something, `repeatable` that the same call again has no
    further effect. Clients load a `preloaded` tool at once. Only planners see the parameters in `planner_only`, and
    only testers those in `tester_only`. `former` are the names of older tools that did the same; prompts may still call
    it by these names.
    """

    group: str
    method: str

    def __init__(
        self,
        tool: str,
        title: str,
        *,
        roles: tuple[Role, ...],
        arguments: Callable[P, Any],
        answers: Answers[A],
        command: Command,
        reads: bool = False,
        destroys: bool = False,
        repeatable: bool = False,
        preloaded: bool = False,
        planner_only: tuple[str, ...] = (),
        tester_only: tuple[str, ...] = (),
        former: tuple[str, ...] = (),
    ) -> None:
        assert isinstance(arguments, type), "a class made by `arguments`"
        self.tool = tool
        self.title = title
        self.roles = roles
        self.arguments: type[Any] = arguments
        self.answers = answers.classes
        self.command = command
        self.reads = reads
        self.destroys = destroys
        self.repeatable = repeatable
        self.preloaded = preloaded
        self.planner_only = planner_only
        self.tester_only = tester_only
        self.former = former

    def __set_name__(self, owner: type, name: str) -> None:
        self.group = owner.__name__.lower()
        self.method = name

    @overload
    def __get__(self, owner: None, _: type) -> Operation[P, A]: ...
    @overload
    def __get__(self, owner: Calling, _: type) -> Callable[P, Coroutine[Any, Any, A]]: ...
    @overload
    def __get__(self, owner: Blocking, _: type) -> Callable[P, A]: ...
    def __get__(self, owner: Any, _: type) -> Any:
        """Return the operation on a class, and the method that calls it on an object of the Python client."""
        if owner is None:
            return self
        if hasattr(owner, "call_operation"):
            return partial(owner.call_operation, self)
        return partial(owner.wait_for_operation, self)

    @property
    def description(self) -> str:
        """The description for agents."""
        return " ".join((self.arguments.__doc__ or "").split())

    @cached_property
    def signature(self) -> Signature:
        """The signature of its method."""
        return Signature(
            [
                Parameter(
                    one.name,
                    Parameter.POSITIONAL_OR_KEYWORD,
                    default=Parameter.empty if one.default is MISSING else one.default,
                )
                for one in fields(self.arguments)
            ]
        )

    @cached_property
    def optional(self) -> frozenset[str]:
        """The names of the parameters that have a default."""
        return frozenset(argument_name(one.name) for one in fields(self.arguments) if one.default is not MISSING)

    @cached_property
    def may_be_empty(self) -> frozenset[str]:
        """The names of the parameters whose empty list differs from an absent one."""
        hints = get_type_hints(self.arguments, include_extras=True)
        return frozenset(name for name, hint in hints.items() if MAY_BE_EMPTY in getattr(hint, "__metadata__", ()))

    def hidden_from(self, role: Role) -> tuple[str, ...]:
        """Return the names of the parameters that a role does not have."""
        planners = () if role.plans else self.planner_only
        return planners if role.has((Role.TESTER,)) else (*planners, *self.tester_only)

    @property
    def parameters(self) -> list[str]:
        """The names of its parameters, in order."""
        return [argument_name(name) for name in self.arguments.__dataclass_fields__]


AnyOperation = Operation[..., Any]
