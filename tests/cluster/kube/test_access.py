"""Every way to prove who we are, against the real API server."""

from __future__ import annotations

import json
import ssl
import sys
from pathlib import Path

import pytest
from support.cluster import ControlPlane
from support.cluster_files import ADMIN, write_kubeconfig

from fluxgate_operator.kube.access import ClusterAccess, load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import KubeUnreachableError, UnauthorizedError
from fluxgate_operator.kube.types import KubeType

SELF = KubeType("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False)  # fmt: skip


async def who_am_i(access: ClusterAccess) -> str:
    async with KubeClient(access) as client:
        review = await client.create(SELF, None, {})
    return review["status"]["userInfo"]["username"]


async def test_a_kubeconfig_with_a_token(control_plane: ControlPlane):
    access = await load_access(control_plane.kubeconfig, None, {})
    assert access.url == control_plane.url
    assert await who_am_i(access) == ADMIN


async def test_the_kubeconfig_that_the_environment_names(control_plane: ControlPlane):
    access = await load_access(None, None, {"KUBECONFIG": str(control_plane.kubeconfig)})
    assert await who_am_i(access) == ADMIN


async def test_a_kubeconfig_with_a_client_certificate(control_plane: ControlPlane):
    access = await load_access(control_plane.files.client_kubeconfig, None, {})
    assert await access.authorize() is None
    assert await who_am_i(access) == ADMIN


async def test_a_kubeconfig_of_a_service_account_knows_its_namespace(
    control_plane: ControlPlane, namespace: str
):
    access = await load_access(control_plane.kubeconfig_for(namespace, "default"), None, {})
    assert access.namespace == namespace
    assert await who_am_i(access) == f"system:serviceaccount:{namespace}:default"


async def test_a_kubeconfig_with_a_token_file_reads_it_for_every_request(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
):
    control_plane.new_service_account(namespace, "second")
    token = tmp_path / "token"
    token.write_text(control_plane.token_for(namespace, "default") + "\n")
    user = {"tokenFile": str(token)}
    path = write_kubeconfig(tmp_path / "config", control_plane.url, control_plane.ca_file, user)
    access = await load_access(path, None, {})
    async with KubeClient(access) as client:
        first = await client.create(SELF, None, {})
        token.write_text(control_plane.token_for(namespace, "second"))
        second = await client.create(SELF, None, {})
    names = [each["status"]["userInfo"]["username"] for each in (first, second)]
    prefix = f"system:serviceaccount:{namespace}"
    assert names == [f"{prefix}:default", f"{prefix}:second"]


async def test_a_kubeconfig_with_an_exec_plugin(control_plane: ControlPlane, tmp_path: Path):
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": control_plane.admin_token},
    }
    (tmp_path / "plugin.py").write_text(f"print({json.dumps(json.dumps(credential))})")
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(tmp_path / "plugin.py")],
        "interactiveMode": "Never",
    }
    path = write_kubeconfig(
        tmp_path / "config", control_plane.url, control_plane.ca_file, {"exec": plugin}
    )
    assert await who_am_i(await load_access(path, None, {})) == ADMIN


@pytest.fixture
def pod_files(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Path:
    """What the kubelet mounts into a pod."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text(control_plane.token_for(namespace, "default"))
    (folder / "ca.crt").write_bytes(control_plane.ca_file.read_bytes())
    (folder / "namespace").write_text(namespace)
    return folder


def pod_environment(control_plane: ControlPlane) -> dict[str, str]:
    host, _, port = control_plane.url.removeprefix("https://").partition(":")
    return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}


async def test_in_a_pod_the_service_account_speaks(
    control_plane: ControlPlane, namespace: str, pod_files: Path
):
    access = await load_access(None, None, pod_environment(control_plane), pod_files)
    assert access.namespace == namespace
    assert access.ca_file == pod_files / "ca.crt"
    assert await who_am_i(access) == f"system:serviceaccount:{namespace}:default"


async def test_in_a_pod_a_rotated_token_is_used_at_once(
    control_plane: ControlPlane, namespace: str, pod_files: Path
):
    access = await load_access(None, None, pod_environment(control_plane), pod_files)
    async with KubeClient(access) as client:
        (pod_files / "token").write_text("not a token")
        with pytest.raises(UnauthorizedError):
            await client.create(SELF, None, {})
        (pod_files / "token").write_text(control_plane.token_for(namespace, "default"))
        review = await client.create(SELF, None, {})
    assert review["status"]["userInfo"]["username"].endswith(f"{namespace}:default")


async def test_a_server_of_another_authority_is_not_trusted(control_plane: ControlPlane):
    access = await load_access(control_plane.kubeconfig, None, {})
    stranger = ClusterAccess(access.url, ssl.create_default_context(), access.authorize)
    with pytest.raises(KubeUnreachableError, match="certificate"):
        await who_am_i(stranger)
