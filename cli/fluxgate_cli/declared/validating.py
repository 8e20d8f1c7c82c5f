"""A folder checked by an admin API, beside everything that it has; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fluxgate_cli.admin_client.api import connected
from fluxgate_cli.checking import Finding, Source, Verification
from fluxgate_cli.declared.applying import MOST_AT_ONCE, How, Result, apply_steps
from fluxgate_cli.declared.making import Plan, planned_by
from fluxgate_cli.declared.plan import Wishes
from fluxgate_cli.errors import UsageError


def validated_by_api(folder: Path, namespace: str | None, name: str) -> Verification:
    """What ``fluxgate validate`` says of a folder, as the API finds it. Raises :class:`CliError`."""
    with connected(name) as api:
        # what other sets own is taken as if it were ours: whether it would be served does not depend on that
        plan = planned_by(api, folder, Wishes(take_over=True), namespace, quiet=True)
        writes = sum(each.action.writes for each in plan.steps)
        if writes > MOST_AT_ONCE:
            raise UsageError(
                f"the API tries at most {MOST_AT_ONCE} changes together, and these are {writes}",
                "Check a part of the folder, or all of it without --api.",
            )
        applied = apply_steps(api, plan.steps, How(dry_run=True), lambda _: None)
    if applied.stopped is not None:
        raise applied.stopped
    findings = (*_of_files(plan), *_of_results(applied.results))
    gateways = {str(each.ref) for each in plan.steps if each.ref.kind == "GatewayConfig"}
    return Verification(
        valid=not findings,
        objects=len(plan.declared.documents),
        gateways=tuple(sorted(gateways)),
        checked_by_envoy=applied.checked_by_envoy,
        not_asked="" if applied.checked_by_envoy else applied.note or "nothing changes for it",
        findings=findings,
    )


def _of_files(plan: Plan) -> Iterator[Finding]:
    for each in plan.declared.problems:
        yield Finding(
            source=Source.FILE,
            file=str(each.file),
            line=each.line,
            column=each.column,
            object=each.subject,
            message=each.message,
        )


def _of_results(results: tuple[Result, ...]) -> Iterator[Finding]:
    for each in results:
        if each.bad:
            file, _, line = each.step.place.rpartition(":")
            yield Finding(
                source=Source(each.found_by or Source.REFERENCE),
                file=file or each.step.place,
                line=int(line) if line.isdigit() else 0,
                object=str(each.step.ref),
                message=each.message,
            )
