"""The holder of a claim, and the tokens and ids that identify it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, whose characters cannot be confused: five bits each."""
LETTERS = 13


@dataclass(frozen=True, slots=True)
class Holder:
    """An agent, or a connection without an agent name.

    Others see `name`, which is an agent's name if `named`. `session` is the connection whose server renews the lease
    of `lease` seconds while the connection lives and then releases the claim, or None. `fresh` is the token of the
    next claim, if the caller must know it before the claim.
    """

    name: str
    named: bool
    session: str | None
    lease: float
    fresh: str | None = None


def new_token() -> str:
    """Return a new claim token: 65 random bits in 13 characters."""
    bits = secrets.randbits(5 * LETTERS)
    return "".join(ALPHABET[bits >> shift & 31] for shift in range(0, 5 * LETTERS, 5))


def new_session() -> str:
    """Return a new id for a connection."""
    return secrets.token_hex(10)


def nameless(session: str) -> str:
    """Return the name by which others see a connection without an agent name."""
    return f"client-{session[:4]}"
