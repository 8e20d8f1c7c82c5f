"""How long does a gateway take from its start to the proof that it serves a folder of N Routes?

``python -m bench.startup 3000 10000`` starts the whole gateway (provider, reconciler, xDS
server, real Envoy) in this process over one file a Route, and prints when each stage was
reached. Then it edits one Route again and again and watches the event loop: the longest
stall, and the longest pause of the garbage collector. Seconds and milliseconds of wall time.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import yaml

from bench import configs
from fluxgate_operator.settings import EnvoySettings, StandaloneSettings
from fluxgate_operator.standalone import StandaloneGateway

EDITS = 100


@dataclass(slots=True)
class Pauses:
    """The longest stall of the event loop and of the garbage collector, in seconds."""

    stall: float = 0.0
    collection: float = 0.0
    collections: int = 0
    _began: float = field(default=0.0)

    def collector(self, phase: str, _: object) -> None:
        """A callback for ``gc.callbacks``."""
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.collections += 1
            self.collection = max(self.collection, time.perf_counter() - self._began)

    async def watch(self) -> None:
        """Wake every millisecond and note how late that was, until cancelled."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            self.stall = max(self.stall, time.perf_counter() - before - 0.001)


@contextmanager
def watching() -> Iterator[Pauses]:
    """Watch the running event loop and the garbage collector."""
    pauses = Pauses()
    gc.callbacks.append(pauses.collector)
    task = asyncio.create_task(pauses.watch())
    try:
        yield pauses
    finally:
        task.cancel()
        gc.callbacks.remove(pauses.collector)


def write_folder(folder: Path, routes: int) -> None:
    """One GatewayConfig, one Upstream, and one file for each Route."""
    documents = {
        "gateway": configs.gateway_config(8080),
        "pool": configs.upstream("pool", 9),
    }
    for number in range(routes):
        name = f"r{number:05d}"
        documents[name] = configs.route(name, f"/api/v1/{name}", "pool")
    for name, document in documents.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(document))


def quiet_gateway(config_dir: Path, state_dir: Path) -> StandaloneGateway:
    """A gateway with two workers that logs nothing."""
    settings = StandaloneSettings(
        config_dir=config_dir,
        state_dir=state_dir,
        http_port=0,
        envoy=EnvoySettings(concurrency=2, drain_seconds=0),
    )
    log = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(50))
    return StandaloneGateway(settings, log, os.environ)


async def measure(scratch: Path, routes: int) -> None:
    """Start over a folder of ``routes`` Routes and print what it took."""
    folder = scratch / "config"
    folder.mkdir()
    write_folder(folder, routes)
    began = time.perf_counter()
    gateway = quiet_gateway(folder, scratch / "state")
    started = asyncio.create_task(gateway.start())
    await gateway.provider.loaded()
    loaded = time.perf_counter() - began
    await started
    start = time.perf_counter() - began
    await gateway.ready.wait()
    ready = time.perf_counter() - began
    print(f"{routes} routes: loaded {loaded:.2f} s, started {start:.2f} s, ready {ready:.2f} s")
    try:
        await _edit(gateway, folder)
    finally:
        await gateway.stop()


async def _edit(gateway: StandaloneGateway, folder: Path) -> None:
    took = []
    with watching() as pauses:
        for number in range(EDITS):
            document = configs.route("r00000", f"/api/v1/edit{number}", "pool")
            began = time.perf_counter()
            (folder / "r00000.yaml").write_text(yaml.safe_dump(document))
            if not (await gateway.wait(None, 30)).complete:
                raise SystemExit("an edit was not served within 30 s")
            took.append(time.perf_counter() - began)
    print(
        f"  {EDITS} edits: proof after {sum(took) / len(took) * 1000:.1f} ms on average, "
        f"{max(took) * 1000:.1f} ms at most; longest stall of the loop {pauses.stall * 1000:.1f} ms, "
        f"longest collection {pauses.collection * 1000:.1f} ms of {pauses.collections}"
    )


def main() -> None:
    """Measure the sizes named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("routes", nargs="*", type=int, default=[3_000, 10_000])
    for routes in parser.parse_args().routes:
        with tempfile.TemporaryDirectory(prefix="fluxgate-startup-") as scratch:
            asyncio.run(measure(Path(scratch), routes))


if __name__ == "__main__":
    main()
