"""The composition root of ``fluxgate controller``."""

from fluxgate_operator.controller.controller import Controller

__all__ = ["Controller"]
