"""Where a request comes from, and whether a credential may be used from there. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from fluxgate.errors import FluxGateError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK = ("127.0.0.0/8", "::1/128")
"""Where a key may be used from when nobody said more."""
MAX_NETWORKS = 64


class AddressFormatError(FluxGateError):
    """A text is not an address or a network; ``index`` is its place in the list."""

    def __init__(self, message: str, index: int = 0) -> None:
        self.index = index
        super().__init__(message)


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks of an allowlist (``10.0.0.0/8``, ``2001:db8::/32``, one address).

    Raises :class:`AddressFormatError`: for an empty list, too, because an empty list would mean
    nobody or everybody, depending on who reads it.
    """
    if not texts:
        raise AddressFormatError(
            "an allowlist names one network or more; 0.0.0.0/0 and ::/0 are everywhere"
        )
    if len(texts) > MAX_NETWORKS:
        raise AddressFormatError(f"an allowlist names at most {MAX_NETWORKS} networks")
    return tuple(_network(text, index) for index, text in enumerate(texts))


def allowed(address: Address | None, allowlist: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks; an unknown one (None) is in none."""
    if address is None:
        return False
    return any(address.version == each.version and address in each for each in allowlist)


def client_address(
    peer: str | None, forwarded_for: Iterable[str], trusted: Sequence[Network]
) -> Address | None:
    """Who sent the request: the connection's peer, or whom a trusted proxy names.

    ``forwarded_for`` are the values of every ``X-Forwarded-For`` header, in order. Read from the right,
    each hop is believed only if the one that named it is trusted; the first that is not trusted is the
    client. Anything a client wrote stands to the left of it. None: nobody knows, so nothing is allowed.
    """
    address = read_address(peer or "")
    if address is None or not allowed(address, trusted):
        return address
    hops = [hop for value in forwarded_for for hop in value.split(",")]
    for hop in reversed(hops):
        address = read_address(hop)
        if address is None or not allowed(address, trusted):
            return address
    return address


def read_address(text: str) -> Address | None:
    """An address as proxies write it: ``::ffff:192.0.2.1`` is IPv4, a port is left out, None if it is none."""
    text = text.strip()
    if text.startswith("["):
        text, closed, _ = text[1:].partition("]")
        if not closed:
            return None
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def _network(text: str, index: int) -> Network:
    try:
        network = ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise AddressFormatError(
            f"{text!r} is not an address or a network such as 192.0.2.0/24: {error}", index
        ) from None
    if isinstance(network, ipaddress.IPv6Network):
        if network.network_address.scope_id is not None:
            raise AddressFormatError(f"{text!r} has a zone; zones differ by machine", index)
        if network.network_address.ipv4_mapped is not None:
            raise AddressFormatError(
                f"{text!r} is IPv4 inside IPv6; write it as an IPv4 network", index
            )
    return network
