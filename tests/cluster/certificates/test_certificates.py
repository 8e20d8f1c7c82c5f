"""The authority in a Secret: shared by replicas, rotated with both trusted, published."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs
from support.cluster import ControlPlane
from support.control_plane import control_plane as running_plane
from support.helm import CHART, Helm
from support.statuses import until

from fluxgate_operator.certificates import Certificates, CertificateSettings
from fluxgate_operator.controller.no_envoy import NoValidator
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.settings import ControllerSettings
from fluxgate_operator.webhooks import webhook_configurations
from fluxgate_xds.server import XdsServerSettings

LOG = structlog.get_logger()


class Clock:
    """Time that tests move on."""

    def __init__(self) -> None:
        self.ahead = dt.timedelta()

    def __call__(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + self.ahead


@contextlib.asynccontextmanager
async def running(
    kube: KubeClient, namespace: str, clock: Clock, *, leading: bool = False
) -> AsyncIterator[Certificates]:
    settings = ControllerSettings(
        namespace, "replica", service=f"ctl-{namespace}", webhook_port=9443
    )
    timing = CertificateSettings(check=3600, retry=0.05)
    certificates = Certificates(kube, settings, lambda: leading, LOG, timing, clock)
    task = asyncio.create_task(certificates.run())
    async with asyncio.timeout(60):
        await certificates.ready.wait()
    yield certificates
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_replicas_that_start_at_once_agree_on_one_authority(
    kube: KubeClient, namespace: str, clock: Clock
):
    async with contextlib.AsyncExitStack() as stack:
        replicas = await asyncio.gather(
            *(stack.enter_async_context(running(kube, namespace, clock)) for _ in range(5))
        )
        assert len({each.ca_pem for each in replicas}) == 1
        assert replicas[0].ca_pem.count(b"BEGIN CERTIFICATE") == 1


async def test_the_leader_publishes_the_authority_to_envoys_and_to_the_api_server(
    kube: KubeClient, control_plane: ControlPlane, namespace: str, clock: Clock
):
    name = f"ctl-{namespace}-{namespace}"
    service = {"service": {"name": f"ctl-{namespace}", "namespace": namespace}}
    for document in webhook_configurations(name, service):
        document["webhooks"][0]["namespaceSelector"] = {"matchLabels": {"no": "where"}}
        kind = document["kind"].lower() + "s"
        path = f"/apis/admissionregistration.k8s.io/v1/{kind}"
        control_plane.request("POST", path, document)
    try:
        async with running(kube, namespace, clock, leading=True) as certificates:

            def published() -> bool:
                found = [
                    control_plane.request("GET", f"{path.rpartition('/')[0]}/{kind}/{name}")
                    for kind in (
                        "mutatingwebhookconfigurations",
                        "validatingwebhookconfigurations",
                    )
                ]
                bundles = {each["webhooks"][0]["clientConfig"].get("caBundle") for each in found}
                return bundles == {base64.b64encode(certificates.ca_pem).decode()}

            await until(published)
            stored = f"/api/v1/namespaces/{namespace}/configmaps/fluxgate-ca"
            data = control_plane.request("GET", stored)["data"]
            assert data == {"ca.crt": certificates.ca_pem.decode()}
    finally:
        for kind in ("mutating", "validating"):
            control_plane.kubectl("delete", f"{kind}webhookconfiguration", name)


async def test_a_successor_is_trusted_long_before_it_signs_and_the_old_one_long_after(
    kube: KubeClient, namespace: str, clock: Clock
):
    async with running(kube, namespace, clock) as certificates:
        first = certificates.ca_pem
        leaf = certificates.server_tls().certificate.read_bytes()

        async def at(years: float, certificates_wanted: int) -> bytes:
            clock.ahead = dt.timedelta(days=365 * years)
            certificates.poke()
            await until(
                lambda: (
                    certificates.ca_pem.count(b"BEGIN CERT") == certificates_wanted
                    and certificates.server_tls().certificate.read_bytes() != leaf
                )
            )
            return certificates.ca_pem

        announced = await at(7.5, 2)
        assert announced.startswith(first)
        clock.ahead = dt.timedelta(days=365 * 9.5)
        certificates.poke()
        await until(lambda: certificates.ca_pem != announced)
        end = b"-----END CERTIFICATE-----\n"
        assert set(certificates.ca_pem.split(end)) == set(announced.split(end))
        assert not certificates.ca_pem.startswith(first)
        assert first not in await at(10.5, 1)


async def test_a_renewed_certificate_serves_new_connections_and_ends_no_stream(
    kube: KubeClient, namespace: str, clock: Clock, tmp_path: Path
):
    clock.ahead = -dt.timedelta(hours=17)  # over two thirds of its 24, which the end is within
    async with running(kube, namespace, clock) as certificates:
        settings = XdsServerSettings(port=0, tls=certificates.server_tls())
        async with running_plane(NoValidator("none"), settings) as plane:
            options = [("grpc.ssl_target_name_override", certificates.server_name)]

            def channel() -> grpc.aio.Channel:
                credentials = certificates.channel_credentials()
                return grpc.aio.secure_channel(f"127.0.0.1:{plane.port}", credentials, options)

            request = health_pb2.HealthCheckRequest()
            async with channel() as before:
                watch = health_pb2_grpc.HealthStub(before).Watch(request)
                assert await watch.read()
                old = certificates.server_tls().certificate.read_bytes()
                clock.ahead = dt.timedelta()
                certificates.poke()
                await until(lambda: certificates.server_tls().certificate.read_bytes() != old)
                async with channel() as after:
                    assert await health_pb2_grpc.HealthStub(after).Check(request)
                assert not watch.done()
                assert await health_pb2_grpc.HealthStub(before).Check(request)
                watch.cancel()


async def _complaint(control_plane: ControlPlane, namespace: str, verbs: str) -> str:
    """What a controller with these rights on ``fluxgate-ca`` alone says first."""
    for kind in ("secret", "configmap"):
        control_plane.kubectl(
            "create", "role", kind, "-n", namespace, f"--verb={verbs}",
            f"--resource={kind}s", "--resource-name=fluxgate-ca",
        )  # fmt: skip
        control_plane.kubectl(
            "create", "rolebinding", kind, "-n", namespace, f"--role={kind}",
            f"--serviceaccount={namespace}:default",
        )  # fmt: skip
        control_plane.wait_for_right(namespace, "default", "patch", f"{kind}s", name="fluxgate-ca")
    access = await load_access(control_plane.kubeconfig_for(namespace, "default"), None, {})
    with capture_logs() as logs:
        async with KubeClient(access) as client:
            settings = ControllerSettings(
                namespace, "replica", service=f"ctl-{namespace}", webhook_port=0
            )
            certificates = Certificates(client, settings, lambda: True, structlog.get_logger())
            task = asyncio.create_task(certificates.run())
            await until(lambda: any(each["log_level"] == "warning" for each in logs))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    return str(next(each for each in logs if each["log_level"] == "warning")["error"])


async def test_a_secret_that_is_missing_and_may_not_be_made_is_an_error_with_its_remedy(
    control_plane: ControlPlane, namespace: str
):
    said = await _complaint(control_plane, namespace, "get,update,patch")
    assert said.startswith(f"Secret {namespace}/fluxgate-ca is missing, and this controller has no")
    assert "run `helm upgrade`" in said
    assert f"`kubectl create secret generic fluxgate-ca -n {namespace}`" in said


async def test_a_config_map_that_is_missing_and_may_not_be_made_is_an_error_with_its_remedy(
    control_plane: ControlPlane, namespace: str
):
    control_plane.kubectl("create", "secret", "generic", "fluxgate-ca", "-n", namespace)
    said = await _complaint(control_plane, namespace, "get,update,patch")
    assert said.startswith(f"ConfigMap {namespace}/fluxgate-ca is missing")
    assert "run `helm upgrade`" in said
    assert f"`kubectl create configmap fluxgate-ca -n {namespace}`" in said


def test_helm_upgrade_makes_the_missing_secret_again(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
):
    helm = Helm(control_plane.binaries["helm"], tmp_path, control_plane.environment())
    release = ("fluxgate", str(CHART), "-n", namespace, "--no-hooks")
    values = {"fullnameOverride": f"f{namespace}", "ingressClass": {"enabled": False}}
    helm("install", *release, values=values)
    try:
        control_plane.kubectl("delete", "secret", "fluxgate-ca", "-n", namespace)
        helm("upgrade", *release, values=values)
        assert "fluxgate-ca" in control_plane.kubectl("get", "secrets", "-n", namespace)
    finally:
        helm("uninstall", "fluxgate", "-n", namespace, "--no-hooks")
