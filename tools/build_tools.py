"""Find the pinned programs of tools/go.mod, or build them once into a cache."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GO_MOD = Path(__file__).with_name("go.mod")
PROGRAMS = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "helm": "helm.sh/helm/v4",
    "kube-apiserver": "k8s.io/kubernetes",
    "kube-controller-manager": "k8s.io/kubernetes",
    "kubectl": "k8s.io/kubernetes",
}


class ToolsMissingError(RuntimeError):
    """Programs are neither on the machine nor in the cache."""


@dataclass(frozen=True, slots=True)
class Toolset:
    """Where programs are looked for: ``assets`` first, then ``cache``."""

    cache: Path
    assets: Path | None
    versions: Mapping[str, str]

    @classmethod
    def from_environment(cls) -> Toolset:
        """As the environment says."""
        home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        cache = os.environ.get("FLUXGATE_TOOLS_DIR") or f"{home}/fluxgate/tools"
        assets = os.environ.get("KUBEBUILDER_ASSETS")
        return cls(Path(cache), Path(assets) if assets else None, _versions(GO_MOD.read_text()))

    def found(self) -> dict[str, Path]:
        """Every program by name; raises :class:`ToolsMissingError`."""
        found = {name: self._find(name) for name in PROGRAMS}
        missing = [name for name, path in found.items() if path is None]
        if missing:
            raise ToolsMissingError(f"{', '.join(missing)}: not found; run `make tools`")
        return {name: path for name, path in found.items() if path is not None}

    def _find(self, name: str) -> Path | None:
        if self.assets is not None and (self.assets / name).exists():
            return self.assets / name
        path = self.cache / f"{name}-{self.versions[PROGRAMS[name]]}" / name
        return path if path.exists() else None


def _versions(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\s*(\S+) (v\S+)(?: // indirect)?$", text, re.MULTILINE))
