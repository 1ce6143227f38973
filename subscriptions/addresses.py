"""Decides which addresses a list of networks lets in.  [pure]"""

import ipaddress
from collections.abc import Iterable


def allowed(networks: Iterable[str], address: str | None) -> bool:
    """True for an empty list; an unknown or unreadable address is in no list."""
    listed = list(networks)
    if not listed:
        return True
    found = parsed(address)
    return found is not None and any(found in ipaddress.ip_network(text) for text in listed)


def parsed(address: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address without its zone, IPv4 out of its IPv6 mapping; None when it is none."""
    if not address:
        return None
    try:
        found = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        return found.ipv4_mapped
    return found
