"""The holder of a claim, and the tokens and ids that identify it."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from functools import cache

from dibs.database.clock import lease_clock
from dibs.platform.processes import host_name, is_running, process_namespace

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, whose characters cannot be confused: five bits each."""
LETTERS = 13


@dataclass(frozen=True, slots=True)
class Holder:
    """An agent, or a connection without an agent name.

    Others see `name`, which is an agent's name if `named`. `session` is the connection whose server renews the lease of
    `lease` seconds while the connection lives and then releases the claim, or None. `fresh` is the token for the next
    claim, if the caller must know it in advance. `client` is the holder's program, if it names itself. `alias_lasts`
    says that the agent's next connection has the same name, although it is not an agent name.
    """

    name: str
    named: bool
    session: str | None
    lease: float
    fresh: str | None = None
    client: str | None = None
    alias_lasts: bool = False

    @property
    def lasts(self) -> bool:
        """Whether the name outlives the connection, so that it can resume claims."""
        return self.named or self.alias_lasts

    def client_beside(self, name: str) -> str | None:
        """Return the program to record with a claim under `name`; None if a generated name already contains it."""
        return None if self.client is None or name.startswith(f"{self.client}-") else self.client


def new_token() -> str:
    """Return a new claim token: 65 random bits in 13 characters."""
    bits = secrets.randbits(5 * LETTERS)
    return "".join(ALPHABET[bits >> shift & 31] for shift in range(0, 5 * LETTERS, 5))


def new_session() -> str:
    """Return a new id for a connection: random, followed by the process that serves it, for `is_served`."""
    return f"{secrets.token_hex(10)}-{process_table()}-{os.getpid()}"


def is_served(session: str) -> bool | None:
    """Return whether the process that serves a connection runs, or None if this process cannot see that one."""
    _, _, process = session.partition("-")
    table, _, pid = process.partition("-")
    if not table or table != process_table():
        return None
    return is_running(int(pid))


@cache
def process_table() -> str:
    """Return what identifies this machine, its boot and its container, within which process ids are unique."""
    identity = f"{host_name()}\0{lease_clock().domain}\0{process_namespace()}"
    return hashlib.sha256(identity.encode()).hexdigest()[:8]
