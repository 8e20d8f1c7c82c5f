"""A pod's volumes as folders: emptyDir, ConfigMap, Secret, claims, and projected ones with bound tokens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2e.local.environment import Lookup, decoded, field_of
from e2e.local.oci import Mount
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import NotFoundError
from fluxgate_operator.kube.types import CONFIG_MAPS, SECRETS, KubeType

CLAIMS = KubeType("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
VOLUMES = KubeType("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)


class NamespaceLookup(Lookup):
    """ConfigMaps and Secrets of one namespace, as they are now."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def data(self, kind: str, name: str) -> Mapping[str, bytes] | None:
        """The entries of a ConfigMap or Secret; None when it is not there."""
        type_: KubeType = SECRETS if kind == "Secret" else CONFIG_MAPS
        try:
            document = await self._client.get(type_, self._namespace, name)
        except NotFoundError:
            return None
        return decoded({"kind": kind, **document})


class Volumes:
    """The folders of one pod's volumes below ``root``; :meth:`refresh` follows their sources."""

    def __init__(self, client: KubeClient, pod: Document, address: str, root: Path) -> None:
        self._client = client
        self._pod = pod
        self._address = address
        self._root = root
        self._lookup = NamespaceLookup(client, pod["metadata"]["namespace"])
        self._claimed: dict[str, Path] = {}

    async def create(self) -> None:
        """Make and fill all of them. Raises ``LookupError`` while a source is missing."""
        for volume in self._pod["spec"].get("volumes", ()):
            if "persistentVolumeClaim" in volume:
                self._claimed[volume["name"]] = await self._claim(volume["persistentVolumeClaim"])
                continue
            folder = self._folder(volume["name"])
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o777 if "emptyDir" in volume else 0o755)
        await self.refresh()

    async def refresh(self) -> None:
        """Write what changed in a ConfigMap or Secret, and tokens when they are not there yet."""
        for volume in self._pod["spec"].get("volumes", ()):
            wanted = await self._content(volume)
            if wanted is not None:
                _write(self._folder(volume["name"]), wanted)

    def mounts(self, container: Mapping[str, Any]) -> list[Mount]:
        """Where the container sees them."""
        writable = {v["name"] for v in self._pod["spec"].get("volumes", ()) if "emptyDir" in v}
        writable |= self._claimed.keys()
        return [
            Mount(
                mount["mountPath"],
                self._folder(mount["name"]) / mount.get("subPath", ""),
                read_only=mount.get("readOnly", False) or mount["name"] not in writable,
            )
            for mount in container.get("volumeMounts", ())
        ]

    def remove(self) -> None:
        """Delete the folders."""
        shutil.rmtree(self._root, ignore_errors=True)

    def _folder(self, name: str) -> Path:
        return self._claimed.get(name) or self._root / name

    async def _claim(self, source: Mapping[str, Any]) -> Path:
        """The folder behind a claim. It is root's, and of the pod's fsGroup if it has one."""
        name, namespace = source["claimName"], self._pod["metadata"]["namespace"]
        try:
            claim = await self._client.get(CLAIMS, namespace, name)
        except NotFoundError:
            raise LookupError(f"the claim {name} is not there") from None
        if claim.get("status", {}).get("phase") != "Bound":
            raise LookupError(f"the claim {name} is not bound")
        volume = await self._client.get(VOLUMES, None, claim["spec"]["volumeName"])
        folder = Path(volume["spec"]["hostPath"]["path"])
        _hand_over(folder, self._pod["spec"].get("securityContext", {}).get("fsGroup"))
        return folder

    async def _content(self, volume: Mapping[str, Any]) -> dict[str, bytes] | None:
        if "configMap" in volume:
            return await self._entries("ConfigMap", volume["configMap"], "name")
        if "secret" in volume:
            return await self._entries("Secret", volume["secret"], "secretName")
        if "projected" in volume:
            content: dict[str, bytes] = {}
            for source in volume["projected"]["sources"]:
                content |= await self._projected(source, volume["name"])
            return content
        if "downwardAPI" in volume:
            return self._downward(volume["downwardAPI"])
        return None

    async def _entries(self, kind: str, source: Mapping[str, Any], key: str) -> dict[str, bytes]:
        data = await self._lookup.data(kind, source[key])
        if data is None:
            if source.get("optional"):
                return {}
            raise LookupError(f"{kind} {source[key]} is not there")
        if "items" not in source:
            return dict(data)
        wanted = {item["path"]: item["key"] for item in source["items"]}
        missing = sorted(set(wanted.values()) - data.keys())
        if missing and not source.get("optional"):
            raise LookupError(f"{kind} {source[key]} has no {', '.join(missing)}")
        return {path: data[name] for path, name in wanted.items() if name in data}

    async def _projected(self, source: Mapping[str, Any], volume: str) -> dict[str, bytes]:
        if "serviceAccountToken" in source:
            return await self._token(source["serviceAccountToken"], volume)
        if "configMap" in source:
            return await self._entries("ConfigMap", source["configMap"], "name")
        if "secret" in source:
            return await self._entries("Secret", source["secret"], "name")
        return self._downward(source["downwardAPI"])

    def _downward(self, source: Mapping[str, Any]) -> dict[str, bytes]:
        return {
            item["path"]: field_of(self._pod, item["fieldRef"]["fieldPath"], self._address).encode()
            for item in source["items"]
        }

    async def _token(self, source: Mapping[str, Any], volume: str) -> dict[str, bytes]:
        """A token bound to the pod (authentication.k8s.io/v1 TokenRequest)."""
        present = self._folder(volume) / source["path"]
        if present.exists():
            return {source["path"]: present.read_bytes()}
        metadata, spec = self._pod["metadata"], self._pod["spec"]
        account = spec.get("serviceAccountName", "default")
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [source["audience"]] if "audience" in source else [],
                "expirationSeconds": max(600, source.get("expirationSeconds", 3600)),
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                },
            },
        }
        path = f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{account}/token"
        answer = await self._client.request("POST", path, body=request)
        return {source["path"]: answer["status"]["token"].encode()}


def _hand_over(folder: Path, group: int | None) -> None:
    """As the kubelet does with a volume: a pod that names no group cannot write what is root's."""
    os.chown(folder, 0, group or 0)
    folder.chmod(0o755 if group is None else 0o2775)


def _write(folder: Path, content: Mapping[str, bytes]) -> None:
    for name, data in content.items():
        path = folder / name
        if path.exists() and path.read_bytes() == data:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"..{path.name}.new")
        temporary.write_bytes(data)
        temporary.chmod(0o644)
        temporary.replace(path)
    for path in folder.iterdir():
        if path.is_file() and path.name not in content:
            path.unlink()
