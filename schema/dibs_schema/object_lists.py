"""Lists of objects in arguments: a Python program sends models or mappings, and validation returns models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

T = TypeVar("T")

if TYPE_CHECKING:
    Objects = Sequence[T | Mapping[str, Any]]
else:
    Objects = list


def models_of(validated: Iterable[T | Mapping[str, Any]]) -> list[T]:
    """Return the models in a validated list."""
    return cast("list[T]", list(validated))
