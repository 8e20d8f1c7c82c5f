"""Metrics that are read when they are asked for: objects, nodes, versions, totals of others."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from fluxgate.xds import typeurl
from fluxgate_operator.engine import Engine
from fluxgate_operator.providers.kubernetes.provider import ProviderHealth

Totals = Callable[[], Mapping[str, int]]
"""Totals of one part, by what they count."""

_PREFIX = "fluxgate_controller_"


class ProviderCollector(Collector):
    """How the provider follows the API server. ``last_resync`` is in the event loop's time."""

    def __init__(self, health: Callable[[], ProviderHealth]) -> None:
        self._health = health

    def describe(self) -> Iterable[Metric]:
        """Names for the registry, which asks before anything can be read."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Everything as it is now; called on the event loop."""
        health = self._health()
        yield GaugeMetricFamily(
            f"{_PREFIX}watching", "1 while kopf watches.", value=float(health.watching)
        )
        yield CounterMetricFamily(
            f"{_PREFIX}watch_restarts", "How often kopf was restarted.", value=health.watch_restarts
        )
        if health.last_resync is not None:
            yield GaugeMetricFamily(
                f"{_PREFIX}resync_age_seconds",
                "Time since the last list of the kind that was listed longest ago.",
                value=asyncio.get_running_loop().time() - health.last_resync,
            )
        problems = GaugeMetricFamily(
            f"{_PREFIX}watch_problem", "1 for a kind that cannot be read now.", labels=["kind"]
        )
        for kind in sorted(health.problems):
            problems.add_metric([kind], 1)
        yield problems


class StateCollector(Collector):
    """Reads one engine, whether it leads, and the totals of other parts.

    ``totals`` are by the name of a metric without prefix and suffix, the name of its label,
    and its help text.
    """

    def __init__(
        self,
        engine: Engine,
        leading: Callable[[], bool],
        totals: Mapping[tuple[str, str, str], Totals],
    ) -> None:
        self._engine = engine
        self._leading = leading
        self._totals = totals

    def describe(self) -> Iterable[Metric]:
        """Names for the registry, which asks before anything can be read."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Everything as it is now."""
        yield GaugeMetricFamily(
            f"{_PREFIX}leader", "1 while this replica may write.", value=float(self._leading())
        )
        yield self._objects()
        yield self._snapshots()
        yield from self._nodes()
        yield from self._server()
        for (name, label, text), read in self._totals.items():
            family = CounterMetricFamily(f"{_PREFIX}{name}", text, labels=[label])
            for key, value in sorted(read().items()):
                family.add_metric([key], value)
            yield family

    def _objects(self) -> Metric:
        family = GaugeMetricFamily(
            f"{_PREFIX}objects", "Objects of the last turn, by kind.", labels=["kind"]
        )
        turn = self._engine.reconciler.current
        for kind, objects in sorted(turn.resources.objects.items()) if turn is not None else ():
            family.add_metric([kind], len(objects))
        return family

    def _snapshots(self) -> Metric:
        family = InfoMetricFamily(
            f"{_PREFIX}snapshot", "Version of the snapshot of every gateway.", labels=["gateway"]
        )
        turn = self._engine.reconciler.current
        for gateway, version in sorted(turn.versions.items()) if turn is not None else ():
            family.add_metric([gateway], {"version": version})
        return family

    def _nodes(self) -> Iterable[Metric]:
        nodes = GaugeMetricFamily(
            f"{_PREFIX}xds_nodes", "Nodes connected to this replica.", labels=["gateway"]
        )
        behind = GaugeMetricFamily(
            f"{_PREFIX}xds_nodes_behind",
            "Connected nodes that do not yet serve the newest turn.",
            labels=["gateway"],
        )
        turn = self._engine.reconciler.current
        known = turn.versions if turn is not None else {}
        connected = Tally(dict.fromkeys(known, 0))
        late = Tally(dict.fromkeys(known, 0))
        tracker = self._engine.tracker
        for node in self._engine.registry.nodes():
            if node.connected:
                connected[node.gateway] += 1
                newest = self._engine.reconciler.latest_sequence(
                    node.gateway, known.get(node.gateway, "")
                )
                late[node.gateway] += tracker.serving_sequence(node) < newest
        for family, counts in ((nodes, connected), (behind, late)):
            for gateway, count in sorted(counts.items()):
                family.add_metric([gateway], count)
            yield family

    def _server(self) -> Iterable[Metric]:
        counters = self._engine.registry.counters
        nacks = CounterMetricFamily(
            f"{_PREFIX}xds_nacks", "Rejections by nodes, by type.", labels=["type"]
        )
        for url, count in sorted(counters.nacks_by_type.items()):
            nacks.add_metric([typeurl.short(url)], count)
        yield nacks
        streams = CounterMetricFamily(
            f"{_PREFIX}xds_streams", "Streams by what became of them.", labels=["event"]
        )
        for event in ("opened", "closed", "refused"):
            streams.add_metric([event], getattr(counters, f"streams_{event}"))
        yield streams
        yield CounterMetricFamily(
            f"{_PREFIX}xds_responses", "Messages sent to nodes.", value=counters.responses
        )
        yield CounterMetricFamily(
            f"{_PREFIX}xds_response_bytes", "Their size.", value=counters.response_bytes
        )
