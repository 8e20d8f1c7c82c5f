"""Helm itself, run as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "charts" / "fluxgate"

Manifest = dict[str, Any]
Values = Mapping[str, Any]


class HelmError(RuntimeError):
    """Helm said no; its words are the message."""


@dataclass(frozen=True, slots=True)
class Helm:
    """One Helm binary. ``environment`` is the process environment it gets, ``folder`` its home."""

    binary: Path
    folder: Path
    environment: Mapping[str, str]

    def __call__(self, *arguments: str, values: Values | None = None, wait: float = 240) -> str:
        """Run it; ``values`` go through standard input. Raises :class:`HelmError`."""
        given = [] if values is None else ["--values", "-"]
        done = subprocess.run(
            [self.binary, *arguments, *given],
            input=json.dumps(values or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=wait,
            env={
                **self.environment,
                "HELM_CACHE_HOME": str(self.folder / "cache"),
                "HELM_CONFIG_HOME": str(self.folder / "config"),
                "HELM_DATA_HOME": str(self.folder / "data"),
            },
        )
        if done.returncode:
            raise HelmError(done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def template(
        self, values: Values, *, namespace: str = "shop", release: str = "fluxgate", apis: str = ""
    ) -> list[Manifest]:
        """Every object the chart makes of ``values``, hooks included."""
        known = ["--api-versions", apis] if apis else []
        text = self("template", release, str(CHART), "-n", namespace, *known, values=values)
        return [each for each in yaml.safe_load_all(text) if each]


def offline(binary: Path, folder: Path) -> Helm:
    """A Helm that knows no cluster."""
    nowhere = {"KUBECONFIG": os.devnull, "HOME": str(folder), "PATH": os.environ["PATH"]}
    return Helm(binary, folder, nowhere)
