"""What a controller counts, in Prometheus' words: ``fluxgate_controller_*``.

Everything hangs on a registry of its own, so that two controllers in one process (tests do
that) do not share figures. What can be read at any moment is read when somebody asks
(:mod:`fluxgate_operator.metrics_state`); only events are counted here.
"""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format."""

_TURN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PROPAGATION_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)


class ControllerMetrics:
    """The counters of one controller."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        self._turns = Counter(
            "fluxgate_controller_reconcile",
            "Turns of the reconciler, by result.",
            ["result"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "fluxgate_controller_reconcile_duration_seconds",
            "Time from freezing the store to the publication of its snapshots.",
            buckets=_TURN_SECONDS,
            registry=self.registry,
        )
        self._succeeded = Gauge(
            "fluxgate_controller_reconcile_last_success_timestamp_seconds",
            "When a turn last succeeded.",
            registry=self.registry,
        )
        self._requests = Counter(
            "fluxgate_controller_api_requests",
            "Requests to the API server but for kopf's watches; code 0 is no answer.",
            ["verb", "code"],
            registry=self.registry,
        )
        self._propagation = Histogram(
            "fluxgate_controller_propagation_seconds",
            "Time from the publication of a snapshot until every connected node serves it.",
            buckets=_PROPAGATION_SECONDS,
            registry=self.registry,
        )
        for result in ("success", "error"):
            self._turns.labels(result)

    def turn(self, seconds: float, succeeded: bool) -> None:
        """A turn of the reconciler ended."""
        self._turns.labels("success" if succeeded else "error").inc()
        self._seconds.observe(seconds)
        if succeeded:
            self._succeeded.set(time.time())

    def api_request(self, verb: str, code: int) -> None:
        """The API server was asked."""
        self._requests.labels(verb, str(code)).inc()

    def propagated(self, seconds: float) -> None:
        """Every connected node serves what was published so long ago."""
        self._propagation.observe(seconds)

    def add(self, collector: Collector) -> None:
        """Something to read at every scrape."""
        self.registry.register(collector)

    def render(self) -> bytes:
        """Everything in the text format."""
        return generate_latest(self.registry)
