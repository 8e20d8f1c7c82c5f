"""Everything that can be said about a folder without serving it: models, references, real Envoy."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from fluxgate.ir import Gateway
from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate.translator import SetAside, TranslateOptions, Translation, translate
from fluxgate.xds import typeurl
from fluxgate.xds.build import build_snapshot
from fluxgate.xds.static import static_bootstrap
from fluxgate_cli.folder import Folder
from fluxgate_operator.culprits import World, find_culprits, set_asides
from fluxgate_operator.envoy.validate import EnvoyValidator, Verdict


class Source(StrEnum):
    """Who found it."""

    FILE = "file"
    REFERENCE = "reference"
    ENVOY = "envoy"
    STORE = "store"
    """The API server, with its quotas, policies and webhooks; or the folder of an admin API."""


class Finding(BaseModel):
    """One problem. ``line`` and ``column`` count from one; 0 is unknown."""

    model_config = ConfigDict(frozen=True)

    source: Source
    file: str
    line: int
    column: int = 0
    object: str
    message: str


class Verification(BaseModel):
    """What came of checking a folder. ``not_asked`` is why Envoy has not answered about it; empty when it has."""

    model_config = ConfigDict(frozen=True)

    valid: bool
    objects: int
    gateways: tuple[str, ...]
    checked_by_envoy: bool
    not_asked: str = ""
    findings: tuple[Finding, ...]


ELSEWHERE = frozenset({Reason.NO_GATEWAY, Reason.REF_NOT_FOUND})
"""What a part of a configuration may lack: the rest of it has it."""


async def verify(
    folder: Folder, validator: EnvoyValidator | None, *, partial: bool = False
) -> Verification:
    """Check ``folder``; without a validator Envoy is not asked.

    A ``partial`` folder may refer to objects and gateways that are not in it.
    """
    translation = translate(folder.resources)
    allowed = ELSEWHERE if partial else frozenset[Reason]()
    findings = [*_file_findings(folder), *_condition_findings(folder, translation, allowed)]
    not_asked = "" if translation.gateways else "there is no gateway for it here"
    if validator is None:
        not_asked = "as you wished"
    else:
        for name, gateway in sorted(translation.gateways.items()):
            found, unknown = await _envoy_findings(folder, name, gateway, validator)
            findings += found
            not_asked = unknown or not_asked
    if not translation.gateways and not findings and not partial:
        message = "there is no GatewayConfig, so nothing would be served"
        findings.append(_finding(Source.REFERENCE, folder, None, message))
    return Verification(
        valid=not findings,
        objects=len(folder.resources),
        gateways=tuple(sorted(translation.gateways)),
        checked_by_envoy=not not_asked,
        not_asked=not_asked,
        findings=tuple(findings),
    )


def _finding(source: Source, folder: Folder, ref: ObjectRef | None, message: str) -> Finding:
    file, line = folder.places.get(ref, ("", 0)) if ref is not None else ("", 0)
    return Finding(
        source=source,
        file=file or str(folder.root),
        line=line,
        object=str(ref or ""),
        message=message,
    )


def _file_findings(folder: Folder) -> Iterator[Finding]:
    for problem in folder.problems:
        yield Finding(
            source=Source.FILE,
            file=problem.file,
            line=problem.line,
            column=problem.column,
            object=problem.subject,
            message=problem.message,
        )


def _condition_findings(
    folder: Folder, translation: Translation, allowed: frozenset[Reason]
) -> Iterator[Finding]:
    for ref, status in sorted(translation.statuses.items()):
        for condition in _broken(status):
            if condition.reason in allowed:
                continue
            message = f"{condition.reason}: {condition.message}"
            yield _finding(Source.REFERENCE, folder, ref, message)


def _broken(status: ObjectStatus) -> Iterator[Condition]:
    """The conditions that are a mistake; an object switched off on purpose is none."""
    for condition in status.conditions:
        if condition.type is ConditionType.PROGRAMMED or condition.status:
            continue
        if condition.reason is not Reason.DISABLED:
            yield condition


async def _envoy_findings(
    folder: Folder, name: str, gateway: Gateway, validator: EnvoyValidator
) -> tuple[list[Finding], str]:
    """What Envoy refuses of one gateway, until it accepts what is left; and why it gave no answer, if so."""
    findings: list[Finding] = []
    aside: dict[ObjectRef, SetAside] = {}
    left: Gateway | None = gateway
    while left is not None:
        verdict = await validator.validate(static_bootstrap(build_snapshot(left)))
        if verdict.verdict is Verdict.OK:
            break
        if verdict.verdict is Verdict.UNKNOWN:
            message = f"Envoy could not check the gateway {name}: {verdict.message}"
            findings.append(_finding(Source.ENVOY, folder, gateway.origin, message))
            return findings, verdict.message or message
        world = World(folder.resources, aside, left)
        types = (typeurl.ROUTE, typeurl.CLUSTER)
        found = await find_culprits(world, validator, types, [lambda _: True])
        for ref, words in (found or {gateway.origin: verdict.message}).items():
            findings.append(_finding(Source.ENVOY, folder, ref, f"Envoy rejects it: {words}"))
        if not found:
            break
        aside |= set_asides(folder.resources, found)
        left = translate(folder.resources, TranslateOptions(aside)).gateways.get(name)
    return findings, ""
