"""Make before break: which types wait for which.

What is referred to must be there before what refers to it, and goes after it.
Source: the xDS protocol, "Eventual consistency considerations".
"""

from __future__ import annotations

from fluxgate.xds import typeurl

_RANK = {
    typeurl.CLUSTER: 0,
    typeurl.ENDPOINT: 1,
    typeurl.SECRET: 1,
    typeurl.EXTENSION: 2,
    typeurl.LISTENER: 3,
    typeurl.ROUTE: 4,
}

_REFERRERS = {
    typeurl.LISTENER: (),
    typeurl.ROUTE: (typeurl.LISTENER,),
    typeurl.EXTENSION: (typeurl.LISTENER,),
    typeurl.CLUSTER: (typeurl.LISTENER, typeurl.ROUTE, typeurl.EXTENSION),
    typeurl.SECRET: (typeurl.LISTENER, typeurl.CLUSTER, typeurl.EXTENSION),
    typeurl.ENDPOINT: (typeurl.CLUSTER,),
}


def rank(type_url: str) -> int:
    """Additions of a type wait for the acknowledgement of every type with a smaller rank.

    Types of equal rank do not wait for each other; types unknown here wait for nothing.
    """
    return _RANK.get(type_url, -1)


def waits(of_rank: int) -> bool:
    """Whether additions of this rank wait at all; clusters come first, endpoints may always go.

    Envoy needs endpoints and secrets to warm a cluster, and acknowledges CDS only
    when no cluster is warming any more (ClusterManagerImpl pauses CDS meanwhile).
    """
    return of_rank > 1


def removal_rank(type_url: str) -> int:
    """The order of removals: whatever refers to others goes first."""
    order = tuple(_REFERRERS)
    return order.index(type_url) if type_url in _REFERRERS else len(order)


def referrers(type_url: str) -> tuple[str, ...]:
    """The types whose resources can name a resource of ``type_url``."""
    return _REFERRERS.get(type_url, ())
