"""The bootstrap of the one Envoy a standalone gateway supervises."""

from __future__ import annotations

import os
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from structlog.typing import FilteringBoundLogger

from fluxgate.xds.probe import build_probe_listener
from fluxgate.xds.stats import stats_matcher
from fluxgate_operator.envoy.bootstrap import BootstrapOptions, render_bootstrap
from fluxgate_operator.errors import StateDirError
from fluxgate_operator.listening import free_port, why_not
from fluxgate_operator.problems import FileProblem
from fluxgate_operator.settings import StandaloneSettings
from fluxgate_operator.statedir import StateDir

FLEET = "standalone"
"""``node.cluster`` of the one Envoy: it serves whichever GatewayConfig was chosen."""

_NAME = "envoy-bootstrap.json"
_LOOPBACK = "127.0.0.1"


class OwnBootstrap:
    """Writes the file Envoy starts with; every start may need another probe port."""

    def __init__(
        self, settings: StandaloneSettings, state: StateDir, log: FilteringBoundLogger
    ) -> None:
        self._settings = settings
        self._state = state
        self._log = log
        self._probe_port = 0
        self.workers = settings.envoy.concurrency or os.cpu_count() or 1
        self.xds_port = 0
        self.problems: tuple[FileProblem, ...] = ()

    def write_first(self) -> None:
        """Write the first one. Raises :class:`StateDirError` when that is not possible."""
        self._state.write(_NAME, self._render())

    def write(self) -> Path:
        """Write the one for the next start; the last one serves when the disk is full by then."""
        self.problems = ()
        try:
            return self._state.write(_NAME, self._render())
        except StateDirError as error:
            path = self._state.path / _NAME
            if not path.exists():
                raise
            self.problems = (FileProblem(str(path), 0, 0, str(error)),)
            self._log.warning("starting envoy with the last bootstrap", error=str(error))
            return path

    def _render(self) -> str:
        if not self._probe_port or why_not(_LOOPBACK, self._probe_port):
            self._probe_port = free_port()
        envoy, probe = self._settings.envoy, (_LOOPBACK, self._probe_port)
        admin = self._admin()
        return render_bootstrap(
            BootstrapOptions(
                node_id=self._settings.node_id,
                gateway=FLEET,
                xds_host=_LOOPBACK,
                xds_port=self.xds_port,
                admin=admin,
                concurrency=self.workers,
                probe=probe,
                metrics=envoy.metrics,
                zone=envoy.zone,
                probe_listener=MessageToDict(build_probe_listener(*probe)),
                stats_matcher=MessageToDict(stats_matcher()),
                max_connections=envoy.max_connections,
                max_heap_bytes=envoy.max_heap_bytes,
            )
        )

    def _admin(self) -> tuple[str, int] | Path:
        """Where the admin interface listens; metrics are fetched from a place known beforehand."""
        port, metrics = self._settings.envoy.admin_port, self._settings.envoy.metrics
        if port is None or (port == 0 and metrics is not None):
            return self._state.path / "envoy-admin.sock"
        return _LOOPBACK, port
