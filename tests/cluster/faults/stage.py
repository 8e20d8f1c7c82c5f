"""A gateway under constant load whose controller is about to meet a fault.

Times: a change made during a fault is served within :data:`RECOVERY_SECONDS` after the fault, on a
busy machine; a quiet one takes three (``pytest -s`` prints it).
``FLUXGATE_LONG_FAULTS=1`` has every fault that can last do so for two minutes, longer than kopf by
itself would live; otherwise it lasts until the controller has met it several times.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cluster.controller.conftest import Site
from support.cluster_processes import ClusterError
from support.controller import ControllerProcess, controller, envoy_of
from support.envoy import EnvoyProcess, eventually
from support.fault_proxy import FaultProxy, Seen
from support.load import Load

from fluxgate_operator.kube.types import OUR_TYPES

RECOVERY_SECONDS = 30.0
FAULT_SECONDS = 120.0 if os.environ.get("FLUXGATE_LONG_FAULTS") else 0.0
QUICK = ("--lease-duration", "3", "--watch-silence", "2")
"""A lost Lease is noticed after a second, a silent watch after two, so that tests are short."""

ROUTES = next(each for each in OUR_TYPES if each.kind == "Route")
_DYNAMIC = ("ListenersConfigDump", "ClustersConfigDump", "RoutesConfigDump")
_RESET = r"^(listener_manager\.lds|cluster_manager\.cds)\.update_(success|rejected)$"


@dataclass(slots=True)
class Stage:
    """``steady`` is under load, ``old`` goes and ``new`` comes during the fault."""

    site: Site
    controller: ControllerProcess
    envoy: EnvoyProcess
    load: Load
    before: object = None
    took: float = 0.0

    def asks_for_routes(self, seen: Seen) -> bool:
        """A list or a watch of the Routes of this test, by whatever part of the controller."""
        return seen.path in (ROUTES.path(), ROUTES.path(self.site.namespace))

    def lists_routes(self, seen: Seen) -> bool:
        """A list by the controller itself, beside kopf's own."""
        return self.asks_for_routes(seen) and not seen.is_watch and seen.user_agent == "fluxgate"

    def watches_routes(self, seen: Seen) -> bool:
        """A watch of the Routes of this test."""
        return seen.is_watch and self.asks_for_routes(seen)

    def change(self) -> None:
        """Delete ``old`` and create ``new``, past whatever is broken."""
        site = self.site
        create(site, site.route("new", "/new", "echo"))
        site.plane.request("DELETE", ROUTES.path(site.namespace, "old"))

    def unchanged(self) -> None:
        """The fault changed nothing in Envoy, and requests were answered during it."""
        assert configuration(self.envoy) == self.before, "a fault is no reason to touch Envoy"
        answered = self.load.total
        eventually(lambda: self.load.total >= answered + 10, what="the load goes on")

    def unaware(self) -> None:
        """What was changed is not known yet: the fault is one."""
        assert (self.site.status("/new"), self.site.status("/old")) == (404, 200)
        self.unchanged()

    def catches_up(self, seconds: float = RECOVERY_SECONDS) -> None:
        """What was changed during the fault is served, and so is what is changed after it."""
        began = time.monotonic()
        eventually(self._is_caught_up, timeout=seconds, what="the change made during the fault")
        self.took = time.monotonic() - began
        print(f"caught up after {self.took:.1f} s")
        create(self.site, self.site.route("later", "/later", "echo"))
        eventually(lambda: self.site.status("/later") == 200, what="a change after the fault")

    def _is_caught_up(self) -> bool:
        return (self.site.status("/new"), self.site.status("/old")) == (200, 404)


def create(site: Site, *documents: str) -> None:
    """POST objects, which is quicker than kubectl; again while storage is initializing (429)."""
    for document in map(yaml.safe_load, documents):
        type_ = next(each for each in OUR_TYPES if each.kind == document["kind"])
        path = type_.path(site.namespace)
        eventually(lambda path=path, body=document: _posted(site, path, body), what="the object")


def _posted(site: Site, path: str, body: object) -> bool:
    try:
        site.plane.request("POST", path, body)
    except ClusterError as error:
        if ": 429 " not in str(error):
            raise
        return False
    return True


def configuration(envoy: EnvoyProcess) -> object:
    """Everything dynamic in Envoy with versions and times of the last update, and how many updates."""
    dump: list[dict[str, Any]] = json.loads(envoy.admin("/config_dump"))["configs"]
    dynamic = [each for each in dump if each["@type"].rpartition(".")[2] in _DYNAMIC]
    return dynamic, envoy.stats(_RESET)


def lasts(met: Callable[[], float], times: int) -> None:
    """Return when the fault was ``met`` so many more times (and for two minutes, if long)."""
    began, base = time.monotonic(), met()
    eventually(
        lambda: met() >= base + times and time.monotonic() - began >= FAULT_SECONDS,
        timeout=FAULT_SECONDS + 90,
        what=f"the fault was met {times} times",
    )


def _served(site: Site, path: str, running: ControllerProcess, envoy: EnvoyProcess) -> None:
    try:
        eventually(lambda: site.status(path) == 200, what=f"{path} is served")
    except AssertionError as error:
        raise AssertionError(
            f"{error}; now {site.status(path)}; the controller: {running.stderr[-4000:]}; "
            f"Envoy: {envoy.log[-4000:]}"
        ) from error


@contextmanager
def followed(
    site: Site, proxy: FaultProxy | None, *, kubeconfig: Path | None = None
) -> Iterator[Stage]:
    """A controller whose kopf watches, an Envoy, and a load that must not fail, whatever comes.

    Without a ``proxy`` it talks to the API server itself.
    """
    if kubeconfig is None:
        kubeconfig = proxy.kubeconfig if proxy is not None else site.plane.kubeconfig
    create(site, site.gateway, site.backend("echo"))
    create(site, *(site.route(name, f"/{name}", "echo") for name in ("steady", "old")))
    with ExitStack() as stack:
        running = stack.enter_context(controller(kubeconfig, site.namespace, *QUICK))
        envoy = stack.enter_context(envoy_of(site.key, running))
        for path in ("/steady", "/old"):
            _served(site, path, running, envoy)
        load = Load(f"http://127.0.0.1:{site.port}{'/steady'}")
        stage = Stage(site, running, envoy, load)
        running.until(lambda: running.metric("fluxgate_controller_watching") == 1, "a watch")
        if proxy is not None:
            proxy.wait_for(stage.watches_routes)
            # one at the start, one that follows kopf's: what happens next, only the watch tells
            proxy.wait_for(stage.lists_routes, count=2)
            proxy.settle(stage.lists_routes)
        stage.before = configuration(envoy)
        stack.enter_context(load)
        yield stage
        eventually(lambda: load.total > 50, what="the load goes on to the end")
        load.__exit__(None, None, None)
        assert load.failed == {}
