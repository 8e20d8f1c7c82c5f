"""Envoy as a sidecar of an application's pod."""

from fluxgate_operator.sidecar.injection import InjectionRefusedError, inject
from fluxgate_operator.sidecar.settings import SidecarSettings
from fluxgate_operator.sidecar.trust import SidecarTrust

__all__ = ["InjectionRefusedError", "SidecarSettings", "SidecarTrust", "inject"]
