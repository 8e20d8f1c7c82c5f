"""Admission webhooks: sidecars for pods, and what CEL cannot say about our kinds."""

from fluxgate_operator.webhooks.configurations import webhook_configurations
from fluxgate_operator.webhooks.server import Webhooks

__all__ = ["Webhooks", "webhook_configurations"]
