"""The holder of a claim, and the tokens and ids that identify it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Thirty-two characters that cannot be confused (Crockford's base 32): five bits each."""
LETTERS = 13


@dataclass(frozen=True, slots=True)
class Holder:
    """An agent, or a connection without an agent name.

    Others see `name`; `named` says that it is an agent's name. `session` is the connection that proves that the holder
    lives: its server renews the lease of `lease` seconds, and releases the claim at the end. Without it `session` is
    None. `fresh` is the token of the next claim, if the caller must know it before the claim.
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
    """Return a new id of a connection."""
    return secrets.token_hex(10)


def nameless(session: str) -> str:
    """Return the name by which others see a connection without an agent name."""
    return f"client-{session[:4]}"
