"""Runs a command with no network except loopback, if the system allows that: `python -m e2e.alone COMMAND`."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys

UP = 0x1 | 0x40
"""Up and running, of the flags in netdevice(7)."""
SIOCSIFFLAGS = 0x8914

WAYS = (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"])


def bring_up_loopback() -> None:
    """Bring up loopback, which is down in a new network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", UP))


def way_to_be_alone() -> list[str]:
    """Return the command prefix that removes the network, or nothing if the system allows none."""
    if shutil.which("unshare"):
        for way in WAYS:
            if subprocess.run([*way, "true"], check=False, capture_output=True).returncode == 0:
                return way
    print("e2e: the network cannot be taken away here; the clients are only told not to use it", flush=True)
    return []


def main(command: list[str]) -> None:
    """Run the command in place of this process, without a network if possible."""
    if command[0] == "--inside":
        bring_up_loopback()
        os.execvp(command[1], command[1:])
    way = way_to_be_alone()
    inside = [*way, sys.executable, "-m", "e2e.alone", "--inside"] if way else []
    os.execvp((inside or command)[0], [*inside, *command])


if __name__ == "__main__":
    main(sys.argv[1:])
