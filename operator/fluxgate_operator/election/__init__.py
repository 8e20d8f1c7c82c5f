"""Leader election on a ``coordination.k8s.io`` Lease."""

from fluxgate_operator.election.election import LeaseElection

__all__ = ["LeaseElection"]
