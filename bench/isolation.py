"""How long until the one Route Envoy rejects is set aside, among N Routes? Does the loop stall?

``python -m bench.isolation 3000`` measures (a) a culprit among Routes that all arrived at
the start, (b) a culprit that is edited into a running gateway, five times, and (c) a bad
Upstream behind a good Route. Each time from the write (a: from Envoy's start) to the
object being set aside, with the longest stall of the event loop meanwhile. Wall time.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import yaml

from bench import configs
from bench.startup import quiet_gateway, watching, write_folder
from fluxgate.resources import ObjectRef
from fluxgate_operator.standalone import StandaloneGateway

EDITS = 5
TOO_COMPLEX = "/((a|b){300}|(c|d){300})z"


def bad_route(name: str, number: int) -> str:
    """A Route whose regular expression exceeds what Envoy's runtime allows."""
    path = {"type": "Regex", "value": TOO_COMPLEX + "z" * number}
    return yaml.safe_dump(configs.route(name, "/", "pool", matches=[{"path": path}]))


def bad_upstream(number: int) -> str:
    """A good Route to an Upstream whose connect timeout Envoy refuses."""
    spec = {"targets": [{"host": "127.0.0.1", "port": 9 + number}], "connectTimeout": "0s"}
    documents = [
        configs.resource("Upstream", "bad", spec),
        configs.route("to-bad", "/to-bad", "bad"),
    ]
    return yaml.safe_dump_all(documents)


async def measure(scratch: Path, routes: int) -> None:
    """All three measurements on one gateway."""
    folder = scratch / "config"
    folder.mkdir()
    write_folder(folder, routes)
    bad = folder / "r01234.yaml"
    good = bad.read_text()
    bad.write_text(bad_route("r01234", 0))
    gateway = quiet_gateway(folder, scratch / "state")
    with watching() as pauses:
        await gateway.start()
        await asyncio.sleep(0.005)
        pauses.stall = 0.0  # the first turn, before Envoy runs, is measured by bench.startup
        began = time.perf_counter()
        await _until(gateway, ObjectRef("Route", "default", "r01234"), aside=True)
        took = time.perf_counter() - began
    try:
        print(
            f"(a) among {routes} Routes of the start: set aside {took:.2f} s after Envoy's start; "
            f"longest stall {pauses.stall * 1000:.0f} ms"
        )
        await gateway.ready.wait()
        bad.write_text(good)
        await _until(gateway, ObjectRef("Route", "default", "r01234"), aside=False)
        await gateway.wait(None, 60)
        await _edits(gateway, folder)
    finally:
        await gateway.stop()


async def _edits(gateway: StandaloneGateway, folder: Path) -> None:
    for label, name, text in (
        ("(b) a Route", ObjectRef("Route", "default", "new"), lambda n: bad_route("new", n)),
        ("(c) an Upstream", ObjectRef("Upstream", "default", "bad"), bad_upstream),
    ):
        took = []
        with watching() as pauses:
            for number in range(EDITS):
                began = time.perf_counter()
                (folder / "new.yaml").write_text(text(number))
                await _until(gateway, name, aside=True)
                took.append(time.perf_counter() - began)
                (folder / "new.yaml").unlink()
                await gateway.wait(None, 60)
        print(
            f"{label} edited in: set aside after {statistics.fmean(took) * 1000:.0f} ms on average, "
            f"{max(took) * 1000:.0f} ms at most of {EDITS}; "
            f"longest stall {pauses.stall * 1000:.0f} ms"
        )


async def _until(gateway: StandaloneGateway, ref: ObjectRef, *, aside: bool) -> None:
    async with asyncio.timeout(120):
        while (ref in gateway.reconciler.set_aside) is not aside:
            await gateway.reconciler.done.wait()


def main() -> None:
    """Measure the sizes named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("routes", nargs="*", type=int, default=[3_000])
    for routes in parser.parse_args().routes:
        with tempfile.TemporaryDirectory(prefix="fluxgate-isolation-") as scratch:
            asyncio.run(measure(Path(scratch), routes))


if __name__ == "__main__":
    main()
