"""Writes the conditions of our objects to the API server."""

from fluxgate_operator.statuses.settings import StatusSettings
from fluxgate_operator.statuses.writer import Outlook, StatusWriter

__all__ = ["Outlook", "StatusSettings", "StatusWriter"]
