"""The composition root of a control plane that only looks: what ``fluxgate admin`` runs on Kubernetes."""

from fluxgate_operator.observer.observer import Observer

__all__ = ["Observer"]
