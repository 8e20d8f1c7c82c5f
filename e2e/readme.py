"""The README's section on Kubernetes, as its reader runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from support.console import Example, checked_examples
from support.curl import curl_folder

REPOSITORY = Path(__file__).resolve().parents[1]
MARK = "checked on a cluster"
_NOISE = re.compile(r"Warning: RefNotFound: |I\d{4} \d\d:")
FORWARDING = "kubectl port-forward"
"""What stays in the foreground of a terminal of its own."""


def examples() -> list[Example]:
    """Its commands, in order; the first one installs the chart."""
    return list(checked_examples((REPOSITORY / "README.md").read_text(), MARK))


def run(command: str, environment: Mapping[str, str], seconds: float = 180.0) -> list[str]:
    """The lines that a command prints; ``environment`` is the cluster's.

    Without the warnings of admission about references that lead nowhere yet, which depend on how
    soon the watch shows what was stored right before, and without what Helm's client library logs
    for its developers.
    """
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=REPOSITORY,
            env=shell(environment, curl_folder(Path(place))),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
    lines = done.stdout.splitlines()
    return [line for line in lines if not _NOISE.match(line)]


def shell(environment: Mapping[str, str], *folders: str) -> dict[str, str]:
    """With FluxGate's own commands and those of ``folders`` besides the cluster's."""
    path = (environment["PATH"], str(Path(sys.executable).parent), *folders)
    return {**os.environ, "NO_COLOR": "1", **environment, "PATH": ":".join(path)}
