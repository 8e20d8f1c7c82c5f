"""An installed release of the chart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Release:
    """Its name, its namespace, and the values every command on it needs."""

    name: str
    namespace: str
    values: Path
