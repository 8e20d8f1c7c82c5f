"""Kubernetes' Ingress as an input: read as routes, told about by Events and its status."""

from fluxgate_operator.ingress.ingresses import Ingresses
from fluxgate_operator.ingress.reporter import IngressReporter

__all__ = ["IngressReporter", "Ingresses"]
