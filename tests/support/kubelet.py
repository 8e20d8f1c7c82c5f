"""What a kubelet would do for one container, on this machine and without a container.

It makes the files of projected volumes, replaces them as a kubelet does (a new folder, then one
link moved over another), and expands ``$(NAME)`` in arguments. Paths inside the container become
paths below a folder of the test.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.cluster import ControlPlane


class Kubelet:
    """One pod, as far as its projected volumes and one container's arguments go."""

    def __init__(
        self, plane: ControlPlane, pod: Mapping[str, Any], root: Path, *, ip: str = "127.0.0.1"
    ) -> None:
        self._plane = plane
        self.pod = pod
        self._root = root
        self._ip = ip
        self._numbers = itertools.count(1)

    def container(self, name: str) -> dict[str, Any]:
        """A container or init container of the pod."""
        spec = self.pod["spec"]
        listed = [*spec.get("initContainers", []), *spec["containers"]]
        found: dict[str, Any] = next(each for each in listed if each["name"] == name)
        return found

    def arguments(self, name: str) -> list[str]:
        """The arguments with the environment filled in and the folders of this machine."""
        container = self.container(name)
        values = {each["name"]: self._field(each) for each in container.get("env", [])}
        expanded = [
            re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], each)
            for each in container["args"]
        ]
        for mount in container["volumeMounts"]:
            folder = self.folder(mount["mountPath"])
            folder.mkdir(parents=True, exist_ok=True)
            expanded = [each.replace(mount["mountPath"], str(folder)) for each in expanded]
        return expanded

    def folder(self, path: str) -> Path:
        """Where a folder of the container is on this machine."""
        return self._root / path.lstrip("/")

    def project(self, name: str, *, seconds: int = 600) -> str:
        """Write a container's projected volumes, with a fresh token; returns the token."""
        token = ""
        mounts = {each["name"]: each["mountPath"] for each in self.container(name)["volumeMounts"]}
        for volume in self.pod["spec"]["volumes"]:
            if volume["name"] not in mounts or "projected" not in volume:
                continue
            path = mounts[volume["name"]]
            files: dict[str, str] = {}
            for source in volume["projected"]["sources"]:
                if wanted := source.get("serviceAccountToken"):
                    token = self.token(wanted["audience"], seconds=seconds)
                    files[wanted["path"]] = token
                if "configMap" in source:
                    files |= self._entries(source["configMap"])
                for item in source.get("downwardAPI", {}).get("items", []):
                    key = item["fieldRef"]["fieldPath"].removeprefix("metadata.annotations['")
                    files[item["path"]] = self.pod["metadata"]["annotations"][key[:-2]]
            self._swap(self.folder(path), path, files)
        return token

    def token(self, audience: str, *, seconds: int = 600) -> str:
        """A token bound to the pod (TokenRequest), as the kubelet asks for one."""
        meta, account = self.pod["metadata"], self.pod["spec"]["serviceAccountName"]
        bound = {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]}
        spec = {
            "audiences": [audience],
            "expirationSeconds": seconds,
            "boundObjectRef": bound,
        }
        path = f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token"
        token: str = self._plane.request("POST", path, {"spec": spec})["status"]["token"]
        return token

    def _entries(self, source: Mapping[str, Any]) -> dict[str, str]:
        """What a ConfigMap holds now, by the names the pod gives it."""
        namespace = self.pod["metadata"]["namespace"]
        path = f"/api/v1/namespaces/{namespace}/configmaps/{source['name']}"
        data: dict[str, str] = self._plane.request("GET", path)["data"]
        listed = source.get("items") or [{"key": each, "path": each} for each in data]
        return {each["path"]: data[each["key"]] for each in listed}

    def _field(self, variable: Mapping[str, Any]) -> str:
        path = variable["valueFrom"]["fieldRef"]["fieldPath"]
        meta = self.pod["metadata"]
        label = re.fullmatch(r"metadata\.labels\['(.+)'\]", path)
        if label is not None:
            return str((meta.get("labels") or {}).get(label.group(1), ""))
        known = {
            "metadata.name": meta["name"],
            "metadata.uid": meta["uid"],
            "status.podIP": self._ip,
        }
        return str(known[path])

    def _swap(self, folder: Path, inside: str, files: Mapping[str, str]) -> None:
        generation = folder / f"..{next(self._numbers)}"
        generation.mkdir(parents=True)
        for name, content in files.items():
            (generation / name).write_text(content.replace(inside, str(folder)))
        link = folder / "..data_tmp"
        link.symlink_to(generation.name)
        link.replace(folder / "..data")
        for name in files:
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(f"..data/{name}")
