"""All use cases, put together."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate_admin.use_cases.audit import AuditTrail
from fluxgate_admin.use_cases.batches import Batches
from fluxgate_admin.use_cases.catalogue import Catalogue
from fluxgate_admin.use_cases.changelog import Changelog
from fluxgate_admin.use_cases.changes import Changes
from fluxgate_admin.use_cases.explanations import Explanations
from fluxgate_admin.use_cases.fleet import Fleet
from fluxgate_admin.use_cases.objects import Objects
from fluxgate_admin.use_cases.pools import Pools
from fluxgate_admin.use_cases.validation import Validation


@dataclass(frozen=True, slots=True)
class UseCases:
    """What can be done, for every surface."""

    audit: AuditTrail
    batches: Batches
    catalogue: Catalogue
    changelog: Changelog
    changes: Changes
    explanations: Explanations
    fleet: Fleet
    objects: Objects
    pools: Pools
    validation: Validation
