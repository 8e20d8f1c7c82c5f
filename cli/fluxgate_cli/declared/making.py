"""A plan of a folder and an API, as ``diff``, ``apply`` and ``validate`` make it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fluxgate_cli.admin_client.api import AdminApi, connected
from fluxgate_cli.declared.folder import Declared, read_declared
from fluxgate_cli.declared.plan import MANAGED_BY, Action, Step, Wishes, make_plan
from fluxgate_cli.declared.present import read_for
from fluxgate_cli.declared.showing import say_problems
from fluxgate_cli.errors import CliError, UsageError
from fluxgate_cli.output import say

_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps, and the folder they come from."""

    steps: tuple[Step, ...]
    declared: Declared
    root: Path

    @property
    def foreign(self) -> tuple[Step, ...]:
        """Objects of other sets, that the folder also has."""
        return tuple(each for each in self.steps if each.action is Action.FOREIGN)


def planned(folder: Path, wishes: Wishes, namespace: str | None, name: str | None) -> Plan:
    """The plan for a folder, by the API of the chosen context. Raises :class:`CliError`."""
    with connected(name) as api:
        return planned_by(api, folder, wishes, namespace)


def planned_by(
    api: AdminApi, folder: Path, wishes: Wishes, namespace: str | None, *, quiet: bool = False
) -> Plan:
    """As :func:`planned`, by an API that is connected; ``quiet`` tells no problems of files."""
    check_set(wishes)
    declared = read_declared(folder, namespace or api.context.namespace or DEFAULT_NAMESPACE)
    api.act_in({each.namespace for each in declared.documents})
    label = None if wishes.set_name is None else f"{MANAGED_BY}={wishes.set_name}"
    found = read_for(api, declared.documents.keys(), label)
    if found.unreadable and wishes.prune:
        kinds = ", ".join(found.unreadable)
        say(f"objects of the set that this credential may not read stay as they are: {kinds}")
    for ref in declared.skipped:
        say(f"{ref} is left out: the API keeps objects of FluxGate's kinds alone")
    if not quiet:
        say_problems(declared.problems)
    steps = make_plan(declared.documents, found.objects, wishes, declared.places)
    return Plan(steps, declared, folder)


def check_set(wishes: Wishes) -> None:
    """Whether the set can be a label, and is given where objects could be deleted."""
    if wishes.prune and wishes.set_name is None:
        raise UsageError(
            "--prune needs --set NAME", "Only objects of a set are deleted, so that others' stay."
        )
    if wishes.set_name is not None and not _LABEL_VALUE.fullmatch(wishes.set_name):
        raise UsageError(
            f"{wishes.set_name!r} cannot be a label", "Use up to 63 of A-Z a-z 0-9 - _ ."
        )


def refuse_trouble(plan: Plan, error: type[CliError]) -> None:
    """Raise ``error`` for files that could not be read, and for objects of other sets."""
    problems = len(plan.declared.problems)
    if problems:
        raise error(f"{problems} problem{'s' if problems > 1 else ''} in {plan.root}")
    if plan.foreign:
        first = plan.foreign[0]
        raise error(
            f"{len(plan.foreign)} objects belong to other sets, such as {first.ref} to {first.owner!r}",
            "Leave them to those, or take them over with --take-over.",
        )
