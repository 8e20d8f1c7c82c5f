"""What the replicas of the control plane tell one another."""

from fluxgate_operator.replicas.adoption import Adopter
from fluxgate_operator.replicas.local import LocalReport
from fluxgate_operator.replicas.replicas import Replicas
from fluxgate_operator.replicas.settings import PeerCredentials, ReplicaSettings

__all__ = ["Adopter", "LocalReport", "PeerCredentials", "ReplicaSettings", "Replicas"]
