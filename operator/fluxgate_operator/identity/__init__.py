"""Which pod may be a node of which gateway."""

from fluxgate_operator.identity.permissions import may_be_node
from fluxgate_operator.identity.reviewer import ApiTokenReviewer

__all__ = ["ApiTokenReviewer", "may_be_node"]
