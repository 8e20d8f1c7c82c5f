"""A running control plane as the admin API sees it (:class:`fluxgate.ports.ControlPlane`)."""

from fluxgate_operator.plane.plane import EnginePlane
from fluxgate_operator.plane.sight import ClusterSight, FolderSight, Sight

__all__ = ["ClusterSight", "EnginePlane", "FolderSight", "Sight"]
