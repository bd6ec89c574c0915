"""Who makes a claim."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Thirty-two letters without lookalikes (Crockford's base 32): five bits each."""


LETTERS = 13


@dataclass(frozen=True, slots=True)
class Holder:
    """An agent, or a connection that gave no name.

    `name` is shown to others; `named` says that it is an identity of its own. `session` is the
    connection whose life stands for the holder's: its server renews the lease of `lease` seconds and
    releases it at the end. It is None where no connection proves that the holder lives. `fresh` is the
    token of the next claim, where that must be known before it is made.
    """

    name: str
    named: bool
    session: str | None
    lease: float
    fresh: str | None = None


def new_token() -> str:
    """A claim's token: 65 random bits in 13 letters that are short to type."""
    bits = secrets.randbits(5 * LETTERS)
    return "".join(ALPHABET[bits >> shift & 31] for shift in range(0, 5 * LETTERS, 5))


def new_session() -> str:
    """The id of one connection."""
    return secrets.token_hex(10)


def nameless(session: str) -> str:
    """How a connection without an agent name is shown."""
    return f"client-{session[:4]}"
