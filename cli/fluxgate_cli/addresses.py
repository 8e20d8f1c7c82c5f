"""Addresses as people write them."""

from __future__ import annotations

from fluxgate_cli.errors import UsageError


def split_address(text: str, option: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT`` or ``[IPV6]:PORT``. Raises :class:`UsageError`."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"{option} {text!r} is not HOST:PORT", "Write for example 10.0.0.5:18000.")
    return host, int(port)
