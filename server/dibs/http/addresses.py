"""The addresses of clients and of this server, in the one form in which they are compared."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parsed(text: str) -> Address | None:
    """Return the address in a text, or None. One of IPv4 that came by an IPv6 socket (::ffff:10.0.0.7) is one of IPv4."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def client_of(scope: Scope) -> Address | None:
    """Return the address from which a request came, or None if the connection has ended."""
    client = scope.get("client")
    return parsed(client[0]) if client else None


def is_any(host: str) -> bool:
    """Return whether a host stands for all addresses of this machine, in any form that a socket takes for that."""
    address = parsed(host)
    if address is not None:
        return address.is_unspecified
    try:
        return not host or not any(socket.inet_aton(host))
    except OSError:  # a name
        return False
