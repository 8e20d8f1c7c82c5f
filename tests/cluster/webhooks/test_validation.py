"""The validating webhook as users meet it: kubectl, the real API server, two real controllers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from support.cluster import ClusterError, ControlPlane
from support.controller import ControllerProcess, controller
from support.fluxgate_run import COMMAND, environment
from support.ports import free_port

from fluxgate.errors import ResourceDryRunError, ResourceError
from fluxgate_operator.certificates import Certificates
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.resource_clients.kubernetes import KubernetesResources
from fluxgate_operator.settings import ControllerSettings
from fluxgate_operator.sidecar import SidecarSettings
from fluxgate_operator.webhooks import Webhooks, webhook_configurations

API = "gateway.fluxgate.io/v1alpha1"
ROUTES = "routes.gateway.fluxgate.io"
OBJECTS = "fluxgate_controller_objects"


@dataclass
class Site:
    """A namespace whose objects are judged by controllers."""

    plane: ControlPlane
    namespace: str
    replicas: list[tuple[ControllerProcess, int]]
    stored: list[dict[str, Any]] = field(default_factory=list)

    @property
    def configuration(self) -> str:
        """The name of both webhook configurations."""
        return f"ctl-{self.namespace}-{self.namespace}"

    def make(self, kind: str, name: str, **spec: Any) -> dict[str, Any]:
        """One object of the namespace."""
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec}

    def route(self, name: str, path: str, **spec: Any) -> dict[str, Any]:
        """A Route to the Upstream ``app``."""
        backends = [{"kind": "Upstream", "name": "app"}]
        return self.make(
            "Route", name, matches=[{"path": {"value": path}}], **{"backends": backends, **spec}
        )

    def create(self, body: dict[str, Any], *options: str) -> str:
        """kubectl create; what it says on standard error. Raises ``ClusterError``."""
        done = self.plane.try_kubectl("create", "-f", "-", *options, stdin=json.dumps(body))
        if done.returncode:
            raise ClusterError(done.stderr)
        if not options:
            self.stored.append(body)
            self.seen()
        return done.stderr

    def seen(self) -> None:
        """Wait until every living replica knows as many objects of each kind as are stored."""
        for kind, count in Counter(each["kind"] for each in self.stored).items():
            for process, _ in self.replicas:
                if process.process.poll() is None:
                    objects = lambda p=process, k=kind: p.metric(OBJECTS, kind=k)  # noqa: E731
                    process.until(lambda o=objects, c=count: o() == c, f"{count} of {kind}")

    def refused(self, body: dict[str, Any]) -> str:
        """What kubectl says when the object is not let in."""
        with pytest.raises(ClusterError) as refusal:
            self.create(body)
        return str(refusal.value)

    def turns_away(self, body: dict[str, Any], reason: str) -> bool:
        """Whether it would not be let in now, and that is why."""
        done = self.plane.try_kubectl(
            "create", "--dry-run=server", "-f", "-", stdin=json.dumps(body)
        )
        return reason in done.stderr

    def known(self, name: str) -> None:
        """Wait until the Route is served, as its status says."""
        self.plane.kubectl(
            "wait", "-n", self.namespace, "--for=condition=Accepted", f"{ROUTES}/{name}",
            "--timeout=60s",
        )  # fmt: skip

    def ask(self, number: int) -> None:
        """From now on the API server asks this replica."""
        url = f"https://127.0.0.1:{self.replicas[number][1]}/validate"
        patch = [{"op": "replace", "path": "/webhooks/0/clientConfig/url", "value": url}]
        self.plane.kubectl(
            "patch", "validatingwebhookconfiguration", self.configuration, "--type=json",
            "-p", json.dumps(patch),
        )  # fmt: skip
        others = [process for process, _ in self.replicas if process.process.poll() is None]
        others.remove(self.replicas[number][0])
        for each in others:  # or nobody could tell who answers
            each.process.send_signal(signal.SIGSTOP)
        try:
            self.until_asked()
        finally:
            for each in others:
                each.process.send_signal(signal.SIGCONT)

    def until_asked(self) -> None:
        """A moment passes before the API server knows a configuration."""
        body = self.route("probe", "/probe", backends=[{"kind": "Upstream", "name": "nobody"}])
        until(lambda: "nobody does not exist" in self.create(body, "--dry-run=server"))

    def validate(self, folder: Path, *more: dict[str, Any]) -> list[str]:
        """What ``fluxgate validate`` says of what is stored and of ``more``."""
        # creation times decide who was first, in a folder as in a cluster
        documents = [
            {**each, "metadata": {**each["metadata"], "creationTimestamp": f"2026-01-01T00:00:{number:02}Z"}}
            for number, each in enumerate([*self.stored, *more])
        ]  # fmt: skip
        (folder / "all.yaml").write_text(yaml.safe_dump_all(documents))
        done = subprocess.run(
            [*COMMAND, "validate", str(folder), "--skip-envoy", "-o", "json"],
            capture_output=True, text=True, check=False, env=environment(),
        )  # fmt: skip
        return [each["message"] for each in json.loads(done.stdout)["findings"]]


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            if last := condition():
                return
        except ClusterError as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s; last: {last}")


def configure(plane: ControlPlane, name: str, namespace: str, port: int) -> None:
    """The chart's configurations, for this namespace, at a port of this machine."""
    for each in webhook_configurations(name, {"url": f"https://127.0.0.1:{port}"}):
        selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
        each["webhooks"][0]["namespaceSelector"] = selector
        plane.kubectl("create", "-f", "-", stdin=json.dumps(each))


def unconfigure(plane: ControlPlane, name: str) -> None:
    for kind in ("mutating", "validating"):
        plane.kubectl("delete", f"{kind}webhookconfiguration", name, "--ignore-not-found")


@pytest.fixture
def site(control_plane: ControlPlane, namespace: str) -> Iterator[Site]:
    """Two replicas, the first of them asked; a gateway and an upstream."""
    with contextlib.ExitStack() as stack:
        site = Site(control_plane, namespace, [])
        ports = (free_port(), free_port())
        stack.callback(unconfigure, control_plane, site.configuration)
        configure(control_plane, site.configuration, namespace, ports[0])
        for number, port in enumerate(ports):
            options = (
                *("--webhook-port", str(port), "--service", f"ctl-{namespace}"),
                *("--peer-port", str(free_port()), "--log-format", "console"),
            )
            process = stack.enter_context(
                controller(
                    control_plane.kubeconfig,
                    namespace,
                    *options,
                    identity=f"replica-{number}",
                    insecure=False,
                )
            )
            site.replicas.append((process, port))
        site.create(site.make("GatewayConfig", "main", listeners=[{"name": "http", "port": 8080}]))
        site.create(site.make("Upstream", "app", targets=[{"host": "10.0.0.1", "port": 80}]))
        with contextlib.suppress(ClusterError):
            control_plane.kubectl("delete", "-n", namespace, ROUTES, "probe")
        site.until_asked()
        yield site


def test_a_second_route_with_the_same_match_is_refused_in_the_words_of_validate(
    site: Site, tmp_path: Path
):
    site.create(site.route("first", "/cart"))
    site.known("first")
    second = site.route("second", "/cart")
    (words,) = site.validate(tmp_path, second)
    assert words.startswith("Conflicted: ")
    assert words in site.refused(second)


def test_a_host_of_another_tenant_is_refused_in_the_words_of_validate(site: Site, tmp_path: Path):
    site.create(site.make("Tenant", "acme", hosts=["*.acme.example.com"]))
    wrong = site.route("other", "/", hosts=["shop.example.com"], tenant="acme")
    (words,) = site.validate(tmp_path, wrong)
    assert words.startswith("HostNotAllowed: ")
    assert words in site.refused(wrong)
    site.create(site.route("own", "/", hosts=["shop.acme.example.com"], tenant="acme"))


def test_a_reference_to_nothing_is_a_warning_in_the_words_of_validate(site: Site, tmp_path: Path):
    early = site.route("early", "/early", backends=[{"kind": "Upstream", "name": "later"}])
    (words,) = site.validate(tmp_path, early)
    said = site.create(early)
    assert f"Warning: {words}" in said


def test_what_became_wrong_by_others_can_still_be_labelled_repaired_and_deleted(site: Site):
    tenant = site.make("Tenant", "acme", hosts=["*.example.com"])
    site.create(tenant)
    hosts = ["shop.example.com", "www.example.com"]
    site.create(site.route("shop", "/", hosts=hosts, tenant="acme"))
    site.known("shop")
    tenant["spec"]["hosts"] = ["*.acme.example.com"]
    site.plane.kubectl("apply", "-f", "-", stdin=json.dumps(tenant))
    fresh = site.route("new", "/", hosts=["shop.example.com"], tenant="acme")
    until(lambda: site.turns_away(fresh, "HostNotAllowed"))

    target = ("-n", site.namespace, f"{ROUTES}/shop")
    assert site.plane.try_kubectl("label", *target, "team=shop").stderr == ""
    better = json.dumps({"spec": {"hosts": ["shop.example.com"]}})
    done = site.plane.try_kubectl("patch", *target, "--type=merge", "-p", better)
    assert done.returncode == 0
    assert "Warning: HostNotAllowed" in done.stderr
    finalizer = json.dumps({"metadata": {"finalizers": ["example.com/last"]}})
    site.plane.kubectl("patch", *target, "--type=merge", "-p", finalizer)
    site.plane.kubectl("delete", *target, "--wait=false")
    none = json.dumps({"metadata": {"finalizers": None}})
    site.plane.kubectl("patch", *target, "--type=merge", "-p", none)
    site.plane.kubectl("wait", *target, "--for=delete", "--timeout=60s")


def test_a_dry_run_leaves_nothing_behind(site: Site):
    for _ in range(2):
        site.create(site.route("tried", "/only"), "--dry-run=server")
    site.create(site.route("real", "/only"))
    site.known("real")
    with pytest.raises(ClusterError, match="Conflicted"):
        site.create(site.route("tried", "/only"), "--dry-run=server")


async def test_what_it_says_of_an_object_by_itself_is_told_from_what_others_say(site: Site):
    """The admin API tries objects together; of one alone the webhook may say what does not hold then."""
    await asyncio.to_thread(site.create, site.route("real", "/only"))
    await asyncio.to_thread(site.known, "real")
    access = await load_access(site.plane.kubeconfig, None, {})
    async with KubernetesResources(access, structlog.get_logger()) as resources:
        again = site.route("again", "/only")
        with pytest.raises(
            ResourceDryRunError, match=r"by itself, .*webhook refuses it: Conflicted"
        ):
            await resources.create(again, dry_run=True)
        with pytest.raises(ResourceError, match="Conflicted"):
            await resources.create(again)
        await resources.create(site.route("other", "/other"), dry_run=True)


def test_either_replica_says_the_same_and_one_of_them_is_enough(site: Site):
    site.create(site.route("first", "/cart"))
    site.known("first")
    second = site.route("second", "/cart")
    said = site.refused(second)
    site.ask(1)
    assert site.refused(second) == said
    site.replicas[0][0].kill()
    assert site.refused(second) == said
    site.create(site.route("third", "/third"))


def test_without_any_controller_objects_are_stored_changed_and_deleted(site: Site):
    site.create(site.route("first", "/cart"))
    for process, _ in site.replicas:
        process.terminate()
    site.create(site.route("second", "/cart"))
    site.plane.kubectl("label", "-n", site.namespace, f"{ROUTES}/second", "team=shop")
    site.plane.kubectl("delete", "-n", site.namespace, f"{ROUTES}/second", "--timeout=60s")


async def test_while_a_controller_starts_it_says_that_it_did_not_look_and_gives_no_sidecar(
    kube: KubeClient, control_plane: ControlPlane, namespace: str
):
    log = structlog.get_logger()
    settings = ControllerSettings(namespace, "replica", service=f"ctl-{namespace}", webhook_port=0)
    certificates = Certificates(kube, settings, lambda: True, log)
    nothing = SidecarSettings("fluxgate", "127.0.0.1", 18000, certificates.server_name, "")
    webhooks = Webhooks(settings, certificates, lambda: None, lambda: nothing, log)
    work = [asyncio.create_task(each.run()) for each in (certificates, webhooks)]
    name = f"ctl-{namespace}-{namespace}"
    try:
        await asyncio.wait_for(webhooks.serving.wait(), 60)
        await asyncio.to_thread(configure, control_plane, name, namespace, webhooks.port)
        certificates.poke()
        site = Site(control_plane, namespace, [])

        def asked() -> bool:
            said = site.create(site.route("probe", "/probe"), "--dry-run=server")
            return "Warning: not checked: FluxGate is starting" in said

        await asyncio.to_thread(until, asked)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "early",
                "namespace": namespace,
                "labels": {"gateway.fluxgate.io/inject": "true"},
            },
            "spec": {"containers": [{"name": "app", "image": "app.example.com/app:1"}]},
        }

        def refused() -> bool:
            with pytest.raises(ClusterError) as refusal:
                control_plane.kubectl("create", "-f", "-", stdin=json.dumps(pod))
            return "the GatewayConfigs are not known yet; try again" in str(refusal.value)

        await asyncio.to_thread(until, refused)
    finally:
        await asyncio.to_thread(unconfigure, control_plane, name)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
