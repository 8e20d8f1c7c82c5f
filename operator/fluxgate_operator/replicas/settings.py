"""What the exchange between replicas is told."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

import grpc


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """How replicas find one another and how often they talk. Seconds.

    A replica's Lease is valid for ``duration`` and renewed (and the others looked up) three times
    in that. Changes within ``coalesce`` are told together; without one, ``heartbeat`` tells that
    we live. A peer that says nothing for three heartbeats is connected to anew, with
    ``backoff`` growing to ``backoff_limit``. With ``pod_uid`` the Lease goes with its pod.
    For ``linger`` seconds the nodes of a replica that is gone still count, as they were last: they
    are on their way to another one and serve what they have meanwhile.
    """

    duration: float = 15.0
    coalesce: float = 0.05
    heartbeat: float = 5.0
    backoff: float = 0.2
    backoff_limit: float = 3.0
    pod_uid: str = ""
    linger: float = 0.0


@dataclass(frozen=True, slots=True)
class PeerCredentials:
    """Mutual TLS among replicas.

    ``channel`` gives the credentials for the next connection, read anew since certificates
    rotate. ``server_name`` is the DNS name in the peers' certificates, which are reached by IP
    address. ``peers`` are the subject alternative names of which a peer has to prove one
    (``spiffe://<trust domain>/controller``).
    """

    channel: Callable[[], grpc.ChannelCredentials]
    server_name: str
    peers: tuple[str, ...]


def is_loopback(address: str) -> bool:
    """Whether ``host:port`` is on this machine: without TLS no other is talked to."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
