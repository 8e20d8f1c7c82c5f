"""Host patterns: exact, ``*.suffix`` and ``*``, as in Envoy's ``VirtualHost.domains``."""

from __future__ import annotations

ANY = "*"


def covers(pattern: str, host: str) -> bool:
    """Whether every request for ``host`` is one ``pattern`` matches.

    ``*.example.com`` stands for one label or more before the suffix, and never
    for ``example.com`` itself. ``host`` may be a pattern too: ``*`` covers
    ``*.example.com``, which covers ``*.a.example.com`` and itself. Both sides are
    compared as they are, so give them in lower case and without a port.
    """
    if pattern in (ANY, host):
        return True
    if not pattern.startswith("*."):
        return False
    suffix = pattern[1:]
    return len(host) > len(suffix) and host.endswith(suffix)


def specificity(host: str) -> tuple[int, int]:
    """How specific a pattern is; the greater wins (Envoy's order of domain search).

    Exact hosts come first, then wildcards by length of their suffix, then ``*``.
    """
    if host == ANY:
        return (0, 0)
    return (1 if host.startswith("*.") else 2, len(host))


def normalise_host(authority: str) -> str:
    """The host of an ``:authority`` as the listener compares it: lower case, no port.

    Envoy's ``strip_any_host_port`` and its case-insensitive domain search; the
    brackets of an IPv6 literal stay.
    """
    host = authority.lower()
    head, colon, port = host.rpartition(":")
    if colon and port.isdecimal() and (":" not in head or head.endswith("]")):
        return head
    return host
