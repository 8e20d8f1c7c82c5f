"""Use cases over what the process was given."""

from __future__ import annotations

from fluxgate_admin.deps import Deps
from fluxgate_admin.use_cases.assembly import UseCases
from fluxgate_admin.use_cases.audit import AuditTrail
from fluxgate_admin.use_cases.batches import Batches
from fluxgate_admin.use_cases.catalogue import Catalogue
from fluxgate_admin.use_cases.changelog import Changelog
from fluxgate_admin.use_cases.changes import Changes
from fluxgate_admin.use_cases.explanations import Explanations
from fluxgate_admin.use_cases.fleet import Fleet
from fluxgate_admin.use_cases.objects import Objects
from fluxgate_admin.use_cases.pools import Pools
from fluxgate_admin.use_cases.rehearsal import Rehearsal
from fluxgate_admin.use_cases.trials import Trials
from fluxgate_admin.use_cases.validation import Validation
from fluxgate_admin.use_cases.writer import Writer


def build_use_cases(deps: Deps) -> UseCases:
    """Everything that can be done, for one application."""
    settings, plane = deps.settings, deps.plane
    catalogue = Catalogue(plane)
    trials = Trials(deps.trials, settings.trial_seconds, deps.log)
    writer = Writer(deps.resources, deps.history, deps.clock, deps.log)
    changes = Changes(plane, deps.resources, trials, writer, seen_seconds=settings.wait)
    objects = Objects(plane, deps.resources, catalogue, changes, settings.default_namespace)
    return UseCases(
        audit=AuditTrail(deps.audit),
        batches=Batches(plane, deps.resources, trials, writer, changes),
        catalogue=catalogue,
        changelog=Changelog(deps.history, changes),
        changes=changes,
        explanations=Explanations(plane),
        fleet=Fleet(plane),
        objects=objects,
        pools=Pools(plane),
        validation=Validation(trials, changes, Rehearsal(deps.resources, writer)),
    )
