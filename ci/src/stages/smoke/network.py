"""A network of one's own with loopback only: what a server finds that must need no other.

See https://man7.org/linux/man-pages/man7/network_namespaces.7.html
"""

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

from stages.errors import UsageError

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP, IFF_LOOPBACK = 0x1, 0x8
_REQUEST = "16sH22x"  # struct ifreq: a name and flags


def enter() -> None:
    """Move this process, which must have one thread, into a network of its own.

    Raises:
        UsageError: It has not the rights.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        # Whoever may not make a network may make one in a user namespace, and be root in it.
        user, group = os.geteuid(), os.getegid()
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
            raise _refused(os.strerror(ctypes.get_errno()))
        try:
            for name, text in (
                ("setgroups", "deny"),
                ("uid_map", f"{user} {user} 1"),
                ("gid_map", f"{group} {group} 1"),
            ):
                Path(f"/proc/self/{name}").write_text(text)
        except OSError as error:  # some systems give the namespace and no rights in it
            raise _refused(str(error.strerror)) from error
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        flags = _flags(asked, "lo")
        fcntl.ioctl(asked, SIOCSIFFLAGS, struct.pack(_REQUEST, b"lo", flags | IFF_UP))


def _refused(why: str) -> UsageError:
    return UsageError(
        f"no network of its own could be made for the server: {why}. Run as root or where user "
        "namespaces are allowed, or accept with --network host that the report says it was not "
        "isolated"
    )


def isolated() -> bool:
    """Whether this process has no network but loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        found = [_flags(asked, name) for _, name in socket.if_nameindex()]
    return not any(flags & IFF_UP and not flags & IFF_LOOPBACK for flags in found)


def _flags(asked: socket.socket, name: str) -> int:
    told = fcntl.ioctl(asked, SIOCGIFFLAGS, struct.pack(_REQUEST, name.encode(), 0))
    flags: int = struct.unpack(_REQUEST, told)[1]
    return flags
