"""Where a Route's requests go: its backends as weighted clusters, its mirror, its timeouts."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.api.v1alpha1 import Route, duration_ms
from fluxgate.api.v1alpha1.policy import Retry, Timeouts
from fluxgate.api.v1alpha1.route import BackendRef, Mirror
from fluxgate.ir import Forward, MirrorIR, RetryPolicy, WeightedCluster
from fluxgate.resources import ObjectRef
from fluxgate.translator.backend_refs import resolve_backend_ref
from fluxgate.translator.clusters import ClusterSpec
from fluxgate.translator.destinations import Destination
from fluxgate.translator.findings import Finding, invalid, partly
from fluxgate.translator.gateways import GatewayScope
from fluxgate.translator.plugins import Policies
from fluxgate.translator.route_matches import build_path_rewrite
from fluxgate.translator.shares import Shares, share_out
from fluxgate.translator.view import View

DEFAULT_TIMEOUT_MS = 30_000
REALTIME_IDLE_MS = 3_600_000
"""A realtime stream without a byte in either direction ends after an hour."""


@dataclass(frozen=True, slots=True)
class Forwarding:
    """Resolved backends of a Route; :attr:`destinations` is empty when none can be used."""

    shares: Shares
    clusters: tuple[ClusterSpec, ...]
    mirrors: tuple[MirrorIR, ...]
    timeouts: tuple[Timeouts, ...]
    retry: Retry | None
    findings: tuple[Finding, ...]
    used: frozenset[ObjectRef]

    @property
    def destinations(self) -> tuple[WeightedCluster, ...]:
        """The clusters that share the requests."""
        return self.shares.destinations


def resolve_forwarding(
    ref: ObjectRef, route: Route, view: View, tenant: str | None, policies: Policies
) -> Forwarding:
    """Resolve every backend. Those that cannot be are left out, the others share the requests."""
    spec, lookups = route.spec, view.lookups()
    used: set[ObjectRef] = set()
    findings: list[Finding] = []
    found: list[tuple[BackendRef, Destination]] = []
    for index, each in enumerate(spec.backends):
        where = f"spec.backends[{index}]"
        destination = resolve_backend_ref(where, each, ref, lookups, tenant, used, findings)
        if destination is not None:
            found.append((each, destination))
    shares = share_out(ref, route, spec.circuit_breaker or policies.circuit_breaker, found)
    findings.extend(shares.findings)
    if not spec.backends and policies.action is None:
        findings.append(invalid("spec.backends: a route needs a backend; add one"))
    elif found and not shares.destinations:
        findings.append(
            invalid(
                "spec.backends: those that can be used have weight 0; give one of them a weight"
            )
        )
    elif found and len(found) < len(spec.backends):
        findings.append(partly("spec.backends: some are left out, the others take their share"))
    copies = (
        (resolve_backend_ref(where, each.backend, ref, lookups, tenant, used, findings), each)
        for where, each in _copies(route)
    )
    mirrors = [(target.shares[0].cluster, each.percent) for target, each in copies if target]
    return Forwarding(
        shares=shares,
        clusters=tuple(dict.fromkeys((*shares.clusters, *(each for each, _ in mirrors)))),
        mirrors=tuple(MirrorIR(each.name, percent) for each, percent in mirrors),
        timeouts=tuple(each.timeouts for _, each in found if each.timeouts),
        retry=next((each.retry for _, each in found if each.retry), None),
        findings=tuple(findings),
        used=frozenset(used),
    )


def _copies(route: Route) -> list[tuple[str, Mirror]]:
    """Every mirror of a route, and where in it each stands."""
    spec = route.spec
    found = [("spec.mirror.backend", spec.mirror)] if spec.mirror is not None else []
    return [*found, *((f"spec.mirrors[{i}].backend", each) for i, each in enumerate(spec.mirrors))]


def build_forward(
    route: Route, forwarding: Forwarding, scope: GatewayScope, policies: Policies
) -> Forward:
    """The action; the nearest of route, policy, backend and gateway decides timeouts and retries."""
    spec = route.spec
    wider = (policies.timeouts, *forwarding.timeouts, scope.timeouts)
    timeouts = [each for each in (spec.timeouts, *wider) if each]
    request = next((each.request for each in timeouts if each.request is not None), None)
    idle = next((each.idle for each in timeouts if each.idle is not None), None)
    timeout_ms = DEFAULT_TIMEOUT_MS if request is None else duration_ms(request)
    idle_ms = None if idle is None else duration_ms(idle)
    if spec.realtime:
        own_idle = spec.timeouts.idle if spec.timeouts else None
        timeout_ms = 0
        idle_ms = REALTIME_IDLE_MS if own_idle is None else duration_ms(own_idle)
    retry = spec.retry or policies.retry or forwarding.retry or scope.retry
    rewrites = [each for each in (spec.rewrite, policies.rewrite) if each]
    path = next((each.path for each in rewrites if each.path), None)
    shares = forwarding.shares
    return Forward(
        destinations=forwarding.destinations,
        timeout_ms=timeout_ms,
        idle_timeout_ms=idle_ms,
        retry=_retry(retry, spec.realtime) if retry and retry.attempts else None,
        mirrors=forwarding.mirrors,
        path_rewrite=build_path_rewrite(path) if path else None,
        host_rewrite=next((each.host for each in rewrites if each.host), ""),
        hash_policy=shares.hash_policy,
        websocket=spec.realtime,
        overrides=shares.overrides,
        choose_by_hash=shares.choose_by_hash,
        sticky_cookie=shares.sticky_cookie,
    )


def _retry(retry: Retry, realtime: bool) -> RetryPolicy:
    """The IR of retries; attempts of a realtime route take as long as they take."""
    back_off = retry.back_off
    per_try = retry.per_try_timeout if not realtime else None
    idle = retry.per_try_idle_timeout if not realtime else None
    base = max(duration_ms(back_off.base), 1) if back_off else 25
    return RetryPolicy(
        attempts=retry.attempts,
        retry_on=retry.retry_on,
        status_codes=retry.status_codes,
        per_try_timeout_ms=duration_ms(per_try) if per_try else 0,
        per_try_idle_timeout_ms=duration_ms(idle) if idle else 0,
        another_host=retry.another_target,
        hedge=retry.hedge and per_try is not None,
        back_off_base_ms=base,
        # Envoy refuses a maximum below the base
        back_off_max_ms=max(duration_ms(back_off.max), base) if back_off else 250,
    )
