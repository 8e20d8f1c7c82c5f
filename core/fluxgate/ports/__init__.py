"""What the adapters expect of each other.

``fluxgate_xds``, ``fluxgate_operator`` and ``fluxgate_admin`` meet only here: the composition roots
of the command line wire them together through these protocols. Plain data and protocols, nothing else.

``nodes``        what Envoys said (the xDS server tells, the operator reads)
``propagation``  who serves a revision
``resources``    reading and writing objects, in a cluster or in a folder
``plane``        a running control plane, as the admin API sees it
``trial``        what a change would do, tried without storing it
``identity``     who calls by a token of the cluster's, and what it may do
"""

from fluxgate.ports.identity import ClusterIdentities, ClusterIdentity
from fluxgate.ports.nodes import Nack, NodeReader, NodeState, SnapshotSink, SyncState, TypeState
from fluxgate.ports.plane import (
    ControlPlane,
    FleetNode,
    PoolState,
    TargetState,
)
from fluxgate.ports.propagation import Lag, LagReason, Propagation
from fluxgate.ports.resources import ChangeType, Pending, ResourceChange, ResourceClient, Stored
from fluxgate.ports.trial import (
    Difference,
    EnvoyChange,
    Finding,
    FindingSource,
    Proposal,
    Trial,
    TrialRunner,
    Untried,
)

__all__ = [
    "ChangeType",
    "ClusterIdentities",
    "ClusterIdentity",
    "ControlPlane",
    "Difference",
    "EnvoyChange",
    "Finding",
    "FindingSource",
    "FleetNode",
    "Lag",
    "LagReason",
    "Nack",
    "NodeReader",
    "NodeState",
    "Pending",
    "PoolState",
    "Propagation",
    "Proposal",
    "ResourceChange",
    "ResourceClient",
    "SnapshotSink",
    "Stored",
    "SyncState",
    "TargetState",
    "Trial",
    "TrialRunner",
    "TypeState",
    "Untried",
]
