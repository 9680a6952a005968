"""How long is one address of a host waited for before the next is tried, too?"""

from __future__ import annotations

from ipaddress import ip_address


def next_address_after(host: str) -> float | None:
    """Seconds, for asyncio's `happy_eyeballs_delay`; None for what is an address itself.

    A name may have an address that never answers. An address has no other, and asyncio may leave its socket
    open when an attempt with a delay is cancelled.
    """
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return 0.25
    return None
