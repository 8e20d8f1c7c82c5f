"""A container's security context is what runc is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from e2e.local.images import Image
from e2e.local.oci import ARBITRARY_UID, Mount, Sandbox, config_of

IMAGE = Image(("fluxgate",), {}, {"/opt/fluxgate": Path("/srv/fluxgate")})
SANDBOX = Sandbox("pod-1", "web-0", Path("/scratch/hosts"), Path("/scratch/resolv.conf"))


def config(security: dict[str, Any], pod_security: dict[str, Any] | None = None) -> dict[str, Any]:
    container = {"name": "web", "securityContext": security}
    mounts = [Mount("/data", Path("/scratch/data"), read_only=False)]
    return config_of(
        container, pod_security or {}, IMAGE, {"A": "b"}, ["web"], mounts, SANDBOX, Path("/root")
    )


def test_a_pod_without_a_user_runs_as_one_that_no_passwd_file_knows() -> None:
    assert config({})["process"]["user"] == {"uid": ARBITRARY_UID, "gid": 0}


def test_the_containers_user_wins_over_the_pods() -> None:
    user = config({"runAsUser": 7}, {"runAsUser": 5, "fsGroup": 9})["process"]["user"]

    assert user == {"uid": 7, "gid": 0, "additionalGids": [9]}


@pytest.mark.parametrize("read_only", [True, False])
def test_a_read_only_root_is_read_only(read_only: bool) -> None:
    assert config({"readOnlyRootFilesystem": read_only})["root"]["readonly"] is read_only


def test_no_container_has_a_capability() -> None:
    assert not any(config({})["process"]["capabilities"].values())


def test_privilege_escalation_is_refused_when_the_context_says_so() -> None:
    assert config({"allowPrivilegeEscalation": False})["process"]["noNewPrivileges"]
    assert not config({})["process"]["noNewPrivileges"]


def test_volumes_are_bound_as_they_are_mounted_and_programs_read_only() -> None:
    mounts = {
        each["destination"]: each["options"] for each in config({})["mounts"] if "options" in each
    }

    assert "rw" in mounts["/data"]
    assert "ro" in mounts["/opt/fluxgate"]
    assert "ro" in mounts["/etc/hosts"]


def test_the_pods_network_namespace_is_joined() -> None:
    namespaces = config({})["linux"]["namespaces"]

    assert {"type": "network", "path": "/run/netns/pod-1"} in namespaces
