"""What credentials may be allowed: ``resource:verb``, with ``*`` for all verbs, or for everything.

``write`` covers ``read``, ``admin`` covers both (``fluxgate_admin.principal.covers``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fluxgate_admin.principal import ALL, covers

VERBS: Mapping[str, tuple[str, ...]] = {
    "routes": ("read", "write"),
    "plugins": ("read", "write"),
    "backends": ("read", "write"),
    "upstreams": ("read", "write"),
    "configs": ("read", "write", "admin"),
    "apikeys": ("read", "write"),
    "tenants": ("read", "write", "admin"),
    "history": ("read", "write"),
    "nodes": ("read",),
    "audit": ("read",),
    "keys": ("read", "write"),
}
"""Every resource and its verbs. ``apikeys`` are those of the gateway's callers, ``keys`` are credentials
of this API. ``tenants:admin`` is for who runs the installation: credentials of other organisations."""

ANY = "any"
"""Not a scope: every caller that is authenticated may (rotate itself, ask who it is)."""
PUBLIC = "public"
"""Not a scope: nobody has to be authenticated."""


def known(scope: str) -> bool:
    """Whether ``scope`` can be granted."""
    if scope == ALL:
        return True
    resource, _, verb = scope.partition(":")
    return resource in VERBS and verb in (*VERBS[resource], ALL)


def beyond(scopes: Iterable[str], own: frozenset[str]) -> list[str]:
    """The ``scopes`` that a caller with ``own`` ones may not hand on: nobody gives more than it has."""
    return sorted(each for each in scopes if not covers(own, each))


def common(first: frozenset[str], second: frozenset[str]) -> frozenset[str]:
    """What both allow."""
    return frozenset(
        {each for each in first if covers(second, each)}
        | {each for each in second if covers(first, each)}
    )


def common_namespaces(
    first: frozenset[str] | None, second: frozenset[str] | None
) -> frozenset[str] | None:
    """The namespaces both see; None is all of them."""
    if first is None:
        return second
    return first if second is None else first & second


def contains(outer: frozenset[str] | None, inner: frozenset[str] | None) -> bool:
    """Whether ``inner`` namespaces are all among the ``outer`` ones; None is all of them."""
    return outer is None or (inner is not None and inner <= outer)
