"""Which pod may be a node of which gateway, and who calls the admin API by a token of the cluster's."""

from fluxgate_operator.identity.cluster_identities import ApiClusterIdentities
from fluxgate_operator.identity.permissions import may_be_node
from fluxgate_operator.identity.reviewer import ApiTokenReviewer

__all__ = ["ApiClusterIdentities", "ApiTokenReviewer", "may_be_node"]
