"""Tolerates what models and their clients send in addition: empty optional arguments, and unknown ones.

Some models fill in every argument, and some clients add arguments of their own to every call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from dibs_schema.sanitize import clean

MAY_BE_EMPTY = "may be empty"
"""Marks an optional argument whose empty list differs from an absent one."""

SIMILAR = 0.8
"""The ratio of equal letters from which an unknown name is taken for a misspelled one."""
SHORTEST_ABBREVIATION = 3
LONGEST_MISSPELLED = 60
"""Letters."""
LONGEST_ENDING = 1
"""Letters after a known word from which on the longer word is another one, as `reasoning` is not `reason`."""
ABOUT_THE_CALL = frozenset(
    [
        "call",
        "explanation",
        "justification",
        "progress",
        "rationale",
        "reasoning",
        "thinking",
        "thought",
        "thoughts",
        "tool",
    ]
)
"""Words in the names of arguments that clients add, to let the model explain its call. No tool's argument has one."""

_WORD = re.compile(r"[a-z]+|[A-Z][a-z]*|\d+")


class MisspelledError(ValueError):
    """The `name` of an argument resembles a known one."""

    def __init__(self, name: str, meant: str) -> None:
        super().__init__(f"{name} is not known here; use {meant}")
        self.name = name


def is_empty(value: Any) -> bool:
    """Return whether a value says nothing: null, an empty or blank string, an empty list or object."""
    return not value.strip() if isinstance(value, str) else value is None or value in ([], {})


def is_filler(value: Any) -> bool:
    """Return whether a refused value is one that models fill in: an empty one, 0, false, or an object of such values.

    It may arrive as JSON text.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return False
    if isinstance(value, Mapping):
        return all(is_filler(one) or is_empty(one) for one in value.values())
    return is_empty(value) or (isinstance(value, int | float) and value == 0)


def without_empty(given: Mapping[str, Any], optional: Collection[str], kept: Collection[str] = ()) -> dict[str, Any]:
    """Return the arguments without empty optional ones; empty lists of the arguments in `kept` stay."""
    return {
        name: value
        for name, value in given.items()
        if name not in optional or not is_empty(value) or (name in kept and value == [])
    }


@dataclass(slots=True)
class Leniency:
    """What a call may contain: unknown arguments, which are `ignored`, and with `partial` invalid entries."""

    ignored: list[str]
    partial: bool = False


def without_unknown(given: Mapping[str, Any], known: Collection[str], leniency: Leniency | None) -> dict[str, Any]:
    """Return the arguments without unknown ones, which `leniency` notes as ignored. Without `leniency`, they are kept.

    Raises MisspelledError if an unknown name resembles a known one.
    """
    if leniency is None:
        return dict(given)
    for name in given:
        if name not in known:
            meant = similar(name, known)
            if meant is not None:
                raise MisspelledError(_shown(name), meant)
            if _shown(name) not in leniency.ignored:
                leniency.ignored.append(_shown(name))
    return {name: value for name, value in given.items() if name in known}


def similar(name: str, known: Collection[str]) -> str | None:
    """Return the known name that an unknown one was probably meant to be, or None.

    Similar names share all words of the shorter one, or most of their letters, or the unknown name abbreviates the
    known one. A word of two letters counts only as the last of two words: `search_in` is `in`, and `in_reply_to` is
    neither `in` nor `to`.
    """
    words, plain, last = _words(name), _plain(name), [word.lower() for word in _WORD.findall(name)[-1:]]
    if len(name) > LONGEST_MISSPELLED or words & ABOUT_THE_CALL:
        return None
    for one in known:
        own = _words(one)
        if len(one) < SHORTEST_ABBREVIATION:
            shares = last == [*own] and len(words) <= 2
        else:
            shares = bool(words) and (words <= own or own <= words)
        if shares or _is_misspelled(plain, _plain(one)):
            return one
    return None


def _is_misspelled(plain: str, known: str) -> bool:
    if plain.startswith(known):
        return len(plain) - len(known) <= LONGEST_ENDING
    abbreviates = len(plain) >= SHORTEST_ABBREVIATION and known.startswith(plain)
    return abbreviates or SequenceMatcher(None, plain, known).ratio() >= SIMILAR


def _shown(name: str) -> str:
    return clean(name)[:60]


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
