"""From a container of a pod to an OCI runtime configuration (opencontainers/runtime-spec, config.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.local.images import Image

ARBITRARY_UID = 1000690000
"""For pods that set no user: a UID as OpenShift's ``restricted-v2`` gives, known to no passwd file."""

_SYSTEM_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
_SYSTEM = ("/usr", "/etc/ssl", "/etc/ca-certificates", "/etc/ld.so.cache", "/etc/alternatives")


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of this machine at a path of the container."""

    destination: str
    source: Path
    read_only: bool


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a pod's containers share: network namespace, host name, and how names are looked up."""

    network_namespace: str
    hostname: str
    hosts_file: Path
    resolver_file: Path


def config_of(
    container: Mapping[str, Any],
    pod_security: Mapping[str, Any],
    image: Image,
    environment: Mapping[str, str],
    arguments: Sequence[str],
    mounts: Sequence[Mount],
    sandbox: Sandbox,
    rootfs: Path,
) -> dict[str, Any]:
    """The configuration runc starts the container with."""
    security = {**pod_security, **container.get("securityContext", {})}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": _user(security),
            "args": list(arguments),
            "env": [f"{name}={value}" for name, value in environment.items()],
            "cwd": container.get("workingDir") or "/",
            "capabilities": {key: [] for key in ("bounding", "effective", "permitted")},
            "noNewPrivileges": not security.get("allowPrivilegeEscalation", True),
        },
        "root": {
            "path": str(rootfs),
            "readonly": bool(security.get("readOnlyRootFilesystem", False)),
        },
        "hostname": sandbox.hostname,
        "mounts": [*_system_mounts(), *_binds(image, mounts, sandbox)],
        "linux": {
            "namespaces": [
                {"type": "pid"},
                {"type": "ipc"},
                {"type": "uts"},
                {"type": "mount"},
                {"type": "network", "path": f"/run/netns/{sandbox.network_namespace}"},
            ],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
        },
    }


def make_rootfs(folder: Path) -> Path:
    """An empty root with the links a merged ``/usr`` has."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in _SYSTEM_LINKS.items():
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(target)
    return folder


def _user(security: Mapping[str, Any]) -> dict[str, Any]:
    user: dict[str, Any] = {
        "uid": security.get("runAsUser", ARBITRARY_UID),
        "gid": security.get("runAsGroup", 0),
    }
    if "fsGroup" in security:
        user["additionalGids"] = [security["fsGroup"]]
    return user


def _system_mounts() -> list[dict[str, Any]]:
    nothing = ["nosuid", "noexec", "nodev"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": [*nothing, "mode=1777", "size=65536k"],
        },
    ]


def _binds(image: Image, mounts: Sequence[Mount], sandbox: Sandbox) -> list[dict[str, Any]]:
    system = [Mount(path, Path(path), read_only=True) for path in _SYSTEM if Path(path).exists()]
    programs = [Mount(name, path, read_only=True) for name, path in image.binds.items()]
    hosts = [
        Mount("/etc/hosts", sandbox.hosts_file, read_only=True),
        Mount("/etc/resolv.conf", sandbox.resolver_file, read_only=True),
    ]
    ordered = sorted((*system, *programs, *hosts, *mounts), key=lambda each: each.destination)
    return [
        {
            "destination": each.destination,
            "type": "bind",
            "source": str(each.source),
            "options": ["rbind", "ro" if each.read_only else "rw", "nosuid", "nodev"],
        }
        for each in ordered
    ]
