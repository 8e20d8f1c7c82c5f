"""Which certificate may speak for which node.

A client certificate names its node in a subject alternative name, either as a
URI ``spiffe://<trust domain>/gateway/<gateway>/node/<node id>`` (each part
percent-encoded) or as the DNS name ``<node id>.<gateway>`` with the gateway's
``namespace/name`` turned into ``name.namespace``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

_SAN = "x509_subject_alternative_name"


@dataclass(frozen=True, slots=True)
class Identities:
    """What a peer has proven to be; ``trusted`` peers came over loopback without TLS."""

    names: frozenset[str] = frozenset()
    trusted: bool = False

    @classmethod
    def of(cls, auth_context: Mapping[str, Iterable[bytes]], *, mutual_tls: bool) -> Identities:
        """From gRPC's auth context (``grpc.ServicerContext.auth_context``)."""
        if not mutual_tls:
            return cls(trusted=True)
        return cls(frozenset(name.decode() for name in auth_context.get(_SAN, ())))

    def may_be(self, gateway: str, node: str) -> bool:
        """Whether the peer may speak for ``node`` of ``gateway``."""
        if self.trusted:
            return True
        if _dns_name(gateway, node) in {name.lower() for name in self.names}:
            return True
        return any(_spiffe_node(name) == (gateway, node) for name in self.names)

    def is_any(self, names: Iterable[str]) -> bool:
        """Whether the peer is one of ``names``, which are compared exactly."""
        return self.trusted or not self.names.isdisjoint(names)


def spiffe_id(trust_domain: str, gateway: str, node: str) -> str:
    """The URI to put into a node's certificate."""
    return f"spiffe://{trust_domain}/gateway/{quote(gateway, safe='')}/node/{quote(node, safe='')}"


def _dns_name(gateway: str, node: str) -> str:
    return ".".join([node, *reversed(gateway.split("/"))]).lower()


def _spiffe_node(name: str) -> tuple[str, str] | None:
    """(gateway, node) of a SPIFFE id of the form above, else None."""
    url = urlsplit(name)
    parts = url.path.split("/")
    if url.scheme != "spiffe" or len(parts) != 5 or (parts[1], parts[3]) != ("gateway", "node"):
        return None
    return unquote(parts[2]), unquote(parts[4])
