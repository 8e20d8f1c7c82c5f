"""The programs that tests and benches run: which, in what versions, and where they are found.

The list is the ``tool`` blocks of tools/go.mod and tools/ratelimit/go.mod. A program is taken, in this order, from

1. the folder ``KUBEBUILDER_ASSETS`` names (envtest's), then PATH, if it says its version and that
   is not older than the oldest we run against (:data:`OLDEST`);
2. the cache that ``make tools`` fills: ``FLUXGATE_TOOLS_DIR``, else ``fluxgate/tools`` in
   ``XDG_CACHE_HOME``. A folder there is named by the module's version and the Go version that
   go.mod asks for, so a change of either builds anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

TOOLS = Path(__file__).parent
GO_MOD = TOOLS / "go.mod"
GO_MODS = (GO_MOD, TOOLS / "ratelimit" / "go.mod")
"""Modules by themselves, because their requirements do not go together."""

Version = tuple[int, ...]

NAMES = {
    "github.com/envoyproxy/ratelimit/src/service_cmd": "ratelimit",
    "go.etcd.io/etcd/server/v3": "etcd",
}
"""Names of programs whose package is called otherwise; the rest are the package's last word."""

OLDEST: Mapping[str, tuple[Version, tuple[str, ...]]] = {
    "etcd": (
        (3, 5),
        ("--version",),
    ),  # 3.4 cannot confirm a watch's progress (RequestWatchProgress)
    "helm": ((4, 0), ("version", "--short")),
    "kube-apiserver": ((1, 30), ("--version",)),  # from there on CRD validation ratchets by default
    "kube-controller-manager": ((1, 30), ("--version",)),
    "kubectl": ((1, 30), ("version", "--client")),
}
"""The oldest version taken from the machine, and how to ask. One not listed is always built."""

NEEDED = ("etcd", "kube-apiserver", "kubectl")
"""What an API server for tests needs; envtest brings these three."""


class ToolsMissingError(RuntimeError):
    """Programs are neither on the machine nor in the cache."""


@dataclass(frozen=True, slots=True)
class Program:
    """One line of the ``tool`` block: its package, and the module and version that has it."""

    name: str
    package: str
    module: str
    version: str
    go: str
    home: Path = TOOLS
    """The folder of its go.mod."""

    @property
    def folder(self) -> str:
        """Its folder in the cache."""
        return f"{self.name}-{self.version}-go{self.go}"


def all_programs() -> tuple[Program, ...]:
    """What our own go.mod files ask for."""
    return tuple(each for path in GO_MODS for each in programs(path.read_text(), path.parent))


def programs(go_mod: str, home: Path = TOOLS) -> tuple[Program, ...]:
    """What the ``tool`` block of a go.mod asks for. Raises ``ValueError`` without a version."""
    go = _search(r"^go (\S+)$", go_mod)
    required = dict(re.findall(r"^\s*(\S+) (v\S+)(?: // indirect)?$", go_mod, re.MULTILINE))
    packages = _search(r"^tool \(\n(.*?)^\)", go_mod).split()
    return tuple(_program(package, required, go, home) for package in packages)


def _program(package: str, required: Mapping[str, str], go: str, home: Path) -> Program:
    modules = [each for each in required if f"{package}/".startswith(f"{each}/")]
    if not modules:
        raise ValueError(f"go.mod asks for {package} but requires no module that has it")
    module = max(modules, key=len)
    name = NAMES.get(package) or package.rpartition("/")[2]
    return Program(name, package, module, required[module], go, home)


def _search(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"go.mod has no line like {pattern}")
    return found[1]


def version_of(text: str) -> Version | None:
    """The first version a program names in its output, such as ``Kubernetes v1.37.1``."""
    found = re.search(r"(?<![\d.])v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in found.groups() if part is not None) if found else None


def ask(command: tuple[str, ...]) -> str:
    """What a program says when it is asked for its version; empty when it does not run."""
    try:
        done = subprocess.run(  # noqa: S603 - programs of ours, or that the user named
            command, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr if done.returncode == 0 else ""


def cache_folder(environ: Mapping[str, str], home: Path) -> Path:
    """Where built programs are kept."""
    if named := environ.get("FLUXGATE_TOOLS_DIR"):
        return Path(named)
    return Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "fluxgate" / "tools"


@dataclass(frozen=True, slots=True)
class Toolset:
    """Looks for programs. ``ask`` runs one and returns what it says of its version."""

    programs: tuple[Program, ...]
    cache: Path
    assets: Path | None
    path: str
    ask: Callable[[tuple[str, ...]], str] = ask

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str] | None = None, home: Path | None = None
    ) -> Toolset:
        """As KUBEBUILDER_ASSETS, PATH, FLUXGATE_TOOLS_DIR and XDG_CACHE_HOME say."""
        environ, home = os.environ if environ is None else environ, home or Path.home()
        assets = environ.get("KUBEBUILDER_ASSETS")
        return cls(
            all_programs(),
            cache_folder(environ, home),
            Path(assets) if assets else None,
            environ.get("PATH", ""),
        )

    def built(self, program: Program) -> Path:
        """Where the cache has a program, or will."""
        return self.cache / program.folder / program.name

    def find(self) -> tuple[dict[str, Path], tuple[str, ...]]:
        """Every program that is there, by name; and why others on the machine were not taken."""
        found: dict[str, Path] = {}
        refused: list[str] = []
        for program in self.programs:
            for candidate in self._on_the_machine(program.name):
                if reason := self._refusal(program.name, candidate):
                    refused.append(reason)
                else:
                    found.setdefault(program.name, candidate)
            if program.name not in found and self.built(program).is_file():
                found[program.name] = self.built(program)
        return found, tuple(refused)

    def found(self, *needed: str) -> dict[str, Path]:
        """Every program that is there, by name.

        Raises :class:`ToolsMissingError` when one of ``needed`` is not; without ``needed`` when
        any of them is not.
        """
        found, refused = self.find()
        names = needed or tuple(program.name for program in self.programs)
        if missing := [name for name in names if name not in found]:
            because = f" ({'; '.join(refused)})" if refused else ""
            raise ToolsMissingError(f"no {', '.join(missing)}{because}: run `make tools`")
        return found

    def _on_the_machine(self, name: str) -> list[Path]:
        if name not in OLDEST:
            return []
        listed = [self.assets / name] if self.assets else []
        if on_path := shutil.which(name, path=self.path):
            listed.append(Path(on_path))
        return [each for each in listed if each.is_file()]

    def _refusal(self, name: str, candidate: Path) -> str:
        oldest, arguments = OLDEST[name]
        version = version_of(self.ask((str(candidate), *arguments)))
        if version is None:
            return f"{candidate} does not say its version"
        if version < oldest:
            return f"{candidate} is {_dotted(version)}, older than {_dotted(oldest)}"
        return ""


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
