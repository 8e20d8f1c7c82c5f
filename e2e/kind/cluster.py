"""A kind cluster by pytest-kind, with our image loaded."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_kind import KindCluster as PytestKindCluster

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGE = "fluxgate:0.1.0"
"""As the README builds it."""


class KindCluster:
    """See :class:`e2e.cluster.Cluster`."""

    name = "kind"
    application_image = "python:3.12-slim"

    def __init__(self, kind: PytestKindCluster, helm: Path) -> None:
        self._kind = kind
        self._helm = helm

    @property
    def values(self) -> Mapping[str, object]:
        """The image that was loaded into the node."""
        repository, _, tag = IMAGE.partition(":")
        return {"image": {"repository": repository, "tag": tag, "pullPolicy": "Never"}}

    @property
    def environment(self) -> Mapping[str, str]:
        """The programs that the cluster itself uses come first."""
        folders = (self._kind.kubectl_path.parent, self._helm.parent)
        path = ":".join((*map(str, folders), os.environ["PATH"]))
        return {"KUBECONFIG": str(self._kind.kubeconfig_path.resolve()), "PATH": path}

    def kubectl(self, *args: str, stdin: str = "") -> str:
        """As the cluster's admin."""
        answer: str = self._kind.kubectl(*args, input=stdin)
        return answer

    def helm(self, *args: str) -> str:
        """As the cluster's admin."""
        environment = {**os.environ, "KUBECONFIG": str(self._kind.kubeconfig_path)}
        done = subprocess.run(
            [self._helm, *args],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            env=environment,
        )
        if done.returncode != 0:
            raise RuntimeError(f"helm {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    @contextmanager
    def reach(self, namespace: str, service: str, port: int) -> Iterator[str]:
        """Through ``kubectl port-forward``, which goes to one pod."""
        with self._kind.port_forward(f"service/{service}", port, "-n", namespace) as local:
            yield f"http://127.0.0.1:{local}"

    def kill(self, namespace: str, pod: str) -> None:
        """Without a grace period: the kubelet kills its containers."""
        self.kubectl("delete", "pod", "-n", namespace, pod, "--grace-period=0", "--force")

    def requests(self) -> list[dict[str, Any]]:
        """Kind's API server writes no audit log."""
        return []

    def exec(self, namespace: str, pod: str, container: str, *command: str) -> str:
        """By kubectl."""
        return self.kubectl("exec", "-n", namespace, pod, "-c", container, "--", *command)

    def log(self, namespace: str, pod: str, container: str) -> str:
        """By kubectl."""
        return self.kubectl("logs", "-n", namespace, pod, "-c", container)


def why_not() -> str:
    """Why there can be no kind cluster here; empty when there can."""
    docker = shutil.which("docker")
    if docker is None:
        return "no docker"
    asked = subprocess.run([docker, "info"], capture_output=True, check=False, timeout=30)
    if asked.returncode != 0:
        return "the container engine does not answer"
    try:
        import pytest_kind  # noqa: F401, PLC0415 - an extra that only this provider needs
    except ImportError:
        return "pytest-kind is not installed; pip install -e '.[e2e]'"
    return ""


@contextmanager
def kind_cluster(helm: Path) -> Iterator[KindCluster]:
    """Build the image, make a cluster, load the image; delete the cluster at the end."""
    from pytest_kind import KindCluster as PytestKindCluster  # noqa: PLC0415 - as above

    subprocess.run(["docker", "build", "--tag", IMAGE, str(REPOSITORY)], check=True)
    kind = PytestKindCluster(f"fluxgate-{secrets.token_hex(3)}")
    try:
        kind.create()
        kind.load_docker_image(IMAGE)
        yield KindCluster(kind, helm)
    finally:
        kind.delete()
