"""Where a node can be dialled."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final, NamedTuple

HOST_BYTES_MAX = 253
"""The longest name DNS has."""

_PORT: Final = re.compile("[0-9]{1,5}")


class Address(NamedTuple):
    """A host (name, IPv4 or IPv6 without brackets) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_wildcard(self) -> bool:
        """Whether it names every interface of its machine, and so none that others could dial."""
        try:
            return ip_address(self.host).is_unspecified
        except ValueError:
            return self.host == ""


def parse_address(text: str) -> Address:
    """Reads ``host:port`` or ``[v6]:port``. Raises ValueError that shows the text and what was expected."""
    host, _, port = text.rpartition(":")
    if not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
        msg = f"an address is host:port or [v6]:port with a port from 1 to 65535, not {text!r:.80}"
        raise ValueError(msg)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        msg = f"an IPv6 address needs brackets, [{host}]:{port}, not {text!r:.80}"
        raise ValueError(msg)
    if not host or any(c in "[]" or c.isspace() or not c.isprintable() for c in host):
        msg = f"an address needs a host before the port, not {text!r:.80}"
        raise ValueError(msg)
    if len(host.encode()) > HOST_BYTES_MAX:
        msg = f"a host has at most {HOST_BYTES_MAX} bytes, not {len(host.encode()):,}: {text!r:.80}"
        raise ValueError(msg)
    return Address(host, int(port))
