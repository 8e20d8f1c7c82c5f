"""What a change would do: checked, translated, tried by the real Envoy, and nothing stored.

:class:`Trials` is the :class:`fluxgate.ports.TrialRunner` of a running control plane. See
docs/decisions/0029-trials-and-the-admin-process.md.
"""

from fluxgate_operator.trial.runner import Trials, TrialSettings
from fluxgate_operator.trial.supply import ClusterSupply, FolderSupply, Supply

__all__ = ["ClusterSupply", "FolderSupply", "Supply", "TrialSettings", "Trials"]
