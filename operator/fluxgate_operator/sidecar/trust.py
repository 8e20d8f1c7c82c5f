"""Which sidecars have to be made anew, because they do not trust who will sign next.

A sidecar's authorities are as old as its pod (docs/decisions/0014). The bootstrap says which they
are, so that a replica can tell long before the day on which such a sidecar could not connect.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from structlog.typing import FilteringBoundLogger

from fluxgate.ports import NodeState

AUTHORITIES_METADATA = "fluxgate.io/authorities"
NAMESPACE_METADATA = "fluxgate.io/namespace"

_INTERVAL_SECONDS = 10.0
_SHOWN = 16


class Nodes(Protocol):
    """Who is connected (:class:`fluxgate_xds.nodes.NodeRegistry`)."""

    def nodes(self) -> tuple[NodeState, ...]:
        """Every known node."""
        ...


def fingerprints(bundle: bytes) -> tuple[str, ...]:
    """The beginnings of the SHA-256 of every certificate in ``bundle`` (PEM).

    Raises ``ValueError`` when there is none.
    """
    certificates = x509.load_pem_x509_certificates(bundle)
    return tuple(each.fingerprint(hashes.SHA256()).hex()[:_SHOWN] for each in certificates)


def trust_metadata(bundle: bytes, namespace: str) -> dict[str, str]:
    """What a sidecar says of itself in ``node.metadata``."""
    return {
        AUTHORITIES_METADATA: ",".join(fingerprints(bundle)),
        NAMESPACE_METADATA: namespace,
    }


def outdated(nodes: Iterable[NodeState], bundle: bytes) -> tuple[NodeState, ...]:
    """Connected sidecars that lack an authority of ``bundle``; others say nothing of theirs."""
    if not bundle:
        return ()
    wanted = set(fingerprints(bundle))
    return tuple(
        each
        for each in nodes
        if each.connected
        and isinstance(said := each.metadata.get(AUTHORITIES_METADATA), str)
        and not wanted <= set(said.split(","))
    )


class SidecarTrust(Collector):
    """Tells of outdated sidecars: a line for each in the log, a number for each fleet."""

    def __init__(
        self,
        nodes: Nodes,
        bundle: Callable[[], bytes],
        log: FilteringBoundLogger,
        interval: float = _INTERVAL_SECONDS,
    ) -> None:
        self._nodes = nodes
        self._bundle = bundle
        self._log = log
        self._interval = interval
        self._told: Mapping[tuple[str, str], float] = {}

    async def run(self) -> None:
        """Look every ``interval`` seconds until cancelled."""
        while True:
            self._look()
            await asyncio.sleep(self._interval)

    def _look(self) -> None:
        found = outdated(self._nodes.nodes(), self._bundle())
        for each in found:
            if self._told.get((each.gateway, each.id)) != each.connected_at:
                self._log.warning(
                    "a sidecar does not trust the next authority of the control plane: make its "
                    "pod anew (`kubectl rollout restart`) before that one signs",
                    pod=f"{each.metadata.get(NAMESPACE_METADATA, '')}/{each.id}",
                    gateway=each.gateway,
                )
        self._told = {(each.gateway, each.id): each.connected_at for each in found}

    def describe(self) -> Iterable[Metric]:
        """Names for the registry, which asks before anything can be read."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """How many there are now, by gateway."""
        family = GaugeMetricFamily(
            "fluxgate_controller_sidecars_outdated",
            "Connected sidecars whose pods have to be made anew, because they do not trust the "
            "next authority.",
            labels=["gateway"],
        )
        found = outdated(self._nodes.nodes(), self._bundle())
        for gateway, count in sorted(Counter(each.gateway for each in found).items()):
            family.add_metric([gateway], count)
        yield family
