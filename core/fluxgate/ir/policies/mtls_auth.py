"""Which client certificates a route admits."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class MtlsAuth(RoutePolicy):
    """What a verified client certificate must be: one of these, or any when all are empty.

    ``uris`` are exact, or end in ``/*`` for everything below. ``dns_names`` are exact or
    ``*.suffix``. ``subjects`` are distinguished names as RFC 2253 writes them. ``fingerprints`` are
    SHA-256 over the DER form, 64 lower-case hexadecimal digits.
    """

    uris: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
