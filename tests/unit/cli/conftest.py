"""The ``fluxgate`` fixture."""

from __future__ import annotations

from support.commandline import fluxgate

__all__ = ["fluxgate"]
