"""The real ``fluxgate controller`` as a process, and real Envoys that it programs."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from google.protobuf.json_format import MessageToDict
from prometheus_client.parser import text_string_to_metric_families

from fluxgate.xds.probe import build_probe_listener
from fluxgate.xds.stats import stats_matcher
from fluxgate_operator.envoy.bootstrap import BootstrapOptions, build_bootstrap
from support.envoy import EnvoyProcess
from support.fluxgate_run import COMMAND, environment
from support.ports import free_port
from support.processes import in_background

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
T = TypeVar("T")


@dataclass(slots=True)
class ControllerProcess:
    """One replica. Its ports are known before it is ready."""

    process: subprocess.Popen[bytes]
    folder: Path
    xds_port: int
    http_port: int
    identity: str

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def stderr(self) -> str:
        """Its log so far."""
        return (self.folder / "stderr").read_text(errors="replace")

    @property
    def is_ready(self) -> bool:
        """Whether it has said so."""
        return "ready:" in (self.folder / "stdout").read_text()

    def wait_ready(self) -> None:
        """Return when the first complete configuration is served."""
        self.until(lambda: self.is_ready, "ready", READY_SECONDS)

    def until(self, condition: Callable[[], T], what: str, seconds: float = 60) -> T:
        """Poll until ``condition`` gives something true, and return it."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"{what} did not come; the log:\n{self.stderr[-6000:]}")
            time.sleep(0.02)
        return found

    def probe(self, path: str) -> tuple[int, str]:
        """Status and body of ``/livez``, ``/readyz`` or ``/metrics``; (0, reason) without answer."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.http_port}{path}", timeout=30
            ) as got:
                return got.status, got.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name whose labels include ``labels``."""
        code, text = self.probe("/metrics")
        assert code == 200, f"no metrics: {text}"
        found = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found)

    def kill(self) -> None:
        """SIGKILL, as when a node is lost."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


@contextlib.contextmanager
def controller(
    kubeconfig: Path,
    namespace: str,
    *options: str,
    identity: str = "controller-0",
    watch: Sequence[str] = (),
    ready: bool = True,
    environ: Mapping[str, str] | None = None,
    insecure: bool = True,
) -> Iterator[ControllerProcess]:
    """Start ``fluxgate controller`` on free ports; SIGTERM at the end.

    ``namespace`` holds its Lease. ``watch`` are the namespaces it watches, by default only
    ``namespace``, so that tests that share an API server do not meet; ``("",)`` watches all.
    """
    watched = [name for name in (watch or (namespace,)) if name]
    xds_port, http_port = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="controller-") as scratch:
        folder = Path(scratch)
        command = [
            *(*COMMAND, "controller", "--kubeconfig", str(kubeconfig)),
            *(("--insecure",) if insecure else ()),
            *("--namespace", namespace, "--identity", identity),
            *("--xds-port", str(xds_port), "--http-port", str(http_port)),
            *(part for name in watched for part in ("--watch-namespace", name)),
            *options,
        ]
        with in_background(command, folder, {**environment(), **(environ or {})}) as process:
            running = ControllerProcess(process, folder, xds_port, http_port, identity)
            if ready:
                running.wait_ready()
            yield running


def envoy_of(
    gateway: str,
    *controllers: ControllerProcess,
    node_id: str = "envoy-0",
    ready: bool = True,
) -> EnvoyProcess:
    """A real Envoy for the gateway of this key, connected to any of the replicas.

    It is probed, and asked for health.
    """
    first, *others = (("127.0.0.1", each.xds_port) for each in controllers)
    probe = ("127.0.0.1", free_port())
    admin_port = free_port()
    bootstrap = build_bootstrap(
        BootstrapOptions(
            node_id=node_id,
            gateway=gateway,
            xds_host=first[0],
            xds_port=first[1],
            more_xds=tuple(others),
            admin=("127.0.0.1", admin_port),
            concurrency=1,
            probe=probe,
            health=("127.0.0.1", free_port()),
            health_token="of this test",
            probe_listener=MessageToDict(build_probe_listener(*probe)),
            stats_matcher=MessageToDict(stats_matcher()),
        )
    )
    return EnvoyProcess(bootstrap, ready=ready, admin_port=admin_port)
