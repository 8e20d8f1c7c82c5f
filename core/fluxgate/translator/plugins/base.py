"""What a type of policy is: a model of its config, and what it makes of one on a route."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fluxgate.api.v1alpha1 import Model, Route
from fluxgate.api.v1alpha1.extensions import ExtensionType
from fluxgate.api.v1alpha1.policy import CircuitBreaker, Cors, Retry, SecretRef, Timeouts
from fluxgate.api.v1alpha1.route import BackendRef, Rewrite, RouteAuth
from fluxgate.ir import RouteAction, RouteMatch, RoutePolicy, Shared
from fluxgate.resources import ObjectRef
from fluxgate.secret import SecretBytes
from fluxgate.status import Reason
from fluxgate.translator.backend_refs import resolve_backend_ref
from fluxgate.translator.certificates import resolve_ca, resolve_certificate
from fluxgate.translator.findings import Finding, PolicyError, partly

if TYPE_CHECKING:
    from fluxgate.translator.backends import Lookups
    from fluxgate.translator.clusters import ClusterSpec
    from fluxgate.translator.gateways import GatewayScope
    from fluxgate.translator.tenants import TenantFact


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit: a plan of the gateway by name, or numbers of its own under ``bucket``'s name."""

    plan: str | None = None
    requests: int = 0
    window_ms: int = 60_000
    burst: int = 0
    bucket: str = ""


@dataclass(frozen=True, slots=True)
class Beside:
    """An open route that a policy adds beside its own: ``suffix`` ends its name.

    It has none of the route's policies, and yields to what users wrote for the same place.
    """

    suffix: str
    match: RouteMatch
    action: RouteAction


@dataclass(frozen=True, slots=True)
class Policies:
    """What the policies of one route add up to, as far as they are applied."""

    auth: RouteAuth | None = None
    cors: Cors | None = None
    limit: Limit | None = None
    timeouts: Timeouts | None = None
    retry: Retry | None = None
    circuit_breaker: CircuitBreaker | None = None
    action: RouteAction | None = None
    """What the route does instead of forwarding."""
    rewrite: Rewrite | None = None
    credentials: tuple[str, ...] = ()
    """Classes of credentials that a policy verifies (:data:`fluxgate.ir.policies.access.STRENGTH`)."""
    beside: tuple[Beside, ...] = ()
    on_route: tuple[RoutePolicy, ...] = ()
    shared: tuple[Shared, ...] = ()

    def verifying(self, credential: str) -> Policies:
        """These policies, one of which verifies a class of credentials."""
        return replace(self, credentials=(*self.credentials, credential))

    def adding(self, *policies: RoutePolicy, shared: tuple[Shared, ...] = ()) -> Policies:
        """These policies and more, for the HTTP filters that know their classes."""
        return replace(self, on_route=(*self.on_route, *policies), shared=(*self.shared, *shared))


@dataclass(frozen=True, slots=True)
class CertificateUse(Shared):
    """A certificate or CA bundle that a policy needs, by its SDS name."""


@dataclass(slots=True)
class Context:
    """Where a policy is applied: one route on one gateway. It keeps what the policy looks at.

    ``name`` is the policy's own (see :class:`fluxgate.ir.Shared`); ``owner`` holds the config, so
    names in it are of the owner's namespace. The methods raise
    :class:`~fluxgate.translator.findings.PolicyError` where a reference leads nowhere: the route is then closed,
    or, for a type that is ``harmless_without``, served without the policy.
    """

    name: str
    owner: ObjectRef
    ref: ObjectRef
    route: Route
    scope: GatewayScope
    tenant: TenantFact | None
    lookups: Lookups
    of_tenant: bool = False
    """Whether a part of the config was written by a tenant."""
    used: set[ObjectRef] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    clusters: dict[str, ClusterSpec] = field(default_factory=dict)

    def secret(self, reference: SecretRef, path: str, key: str) -> SecretBytes:
        """The value under ``key`` of a Secret that the config names at ``path``."""
        ref = ObjectRef("Secret", self.owner.namespace, reference.name)
        self.used.add(ref)
        if reference.namespace not in (None, self.owner.namespace):
            raise PolicyError(
                path,
                f"a Secret must live in the namespace {self.owner.namespace!r}, beside what "
                "refers to it; remove the namespace",
                Reason.REF_NOT_PERMITTED,
            )
        secret = self.lookups.secret(ref)
        if secret is None:
            raise PolicyError(path, self.lookups.missing(ref), Reason.REF_NOT_FOUND)
        if key not in secret.data:
            known = ", ".join(sorted(secret.data)) or "none"
            raise PolicyError(path, f"{ref} has no key {key!r}; its keys: {known}")
        return secret.data[key]

    def optional_secret(self, reference: SecretRef, path: str, key: str) -> SecretBytes | None:
        """As :meth:`secret`; None when the Secret has no such key."""
        ref = ObjectRef("Secret", self.owner.namespace, reference.name)
        secret = self.lookups.secret(ref)
        if secret is not None and key not in secret.data:
            self.used.add(ref)
            return None
        return self.secret(reference, path, key)

    def certificate(self, reference: SecretRef, path: str) -> CertificateUse:
        """A certificate with its key, for SDS; put the result among the shared objects."""
        self.used.add(ObjectRef("Secret", self.owner.namespace, reference.name))
        return self._use(
            resolve_certificate(path, reference, self.owner.namespace, self.lookups.secret)
        )

    def authority(self, reference: SecretRef, path: str) -> CertificateUse:
        """A CA bundle (``ca.crt``), for SDS; put the result among the shared objects."""
        self.used.add(ObjectRef("Secret", self.owner.namespace, reference.name))
        return self._use(resolve_ca(path, reference, self.owner.namespace, self.lookups.secret))

    def cluster(self, backend: BackendRef, path: str, protocol: str | None = None) -> str:
        """The name of the cluster for calls to ``backend``.

        ``protocol`` (``HTTP2``, ``GRPC``) overrides what the backend says.
        """
        findings: list[Finding] = []
        tenant = self.tenant.name if self.tenant else None
        found = resolve_backend_ref(
            path, backend, self.owner, self.lookups, tenant, self.used, findings
        )
        if found is None:
            first = findings[0]
            raise PolicyError("", first.message, first.reason)
        spec = found.shares[0].cluster
        if protocol is not None:
            spec = spec.with_protocol(protocol)
        self.clusters[spec.name] = spec
        return spec.name

    def require_admitted(self, kind: ExtensionType) -> None:
        """Refuse a policy that runs code unless the gateway admits its type, from whoever wrote it."""
        admitted = self.scope.extensions
        if kind not in admitted.allow:
            field, who = "allow", "objects"
        elif self.of_tenant and kind not in admitted.allow_tenants:
            field, who = "allowTenants", "a tenant's objects"
        else:
            return
        raise PolicyError(
            "type",
            f"policies of type {kind!r} are not admitted in {who} on {self.scope.ref}; list the "
            f"type under spec.extensions.{field} there",
            Reason.REF_NOT_PERMITTED,
        )

    def note(self, path: str, message: str) -> None:
        """Say that a part of the config has no effect here."""
        self.findings.append(partly(f"{path}: {message}"))

    def _use(self, found: str | Finding) -> CertificateUse:
        if isinstance(found, Finding):
            raise PolicyError("", found.message, found.reason)
        return CertificateUse(found, self.owner)


@dataclass(frozen=True, slots=True)
class PolicyType:
    """One type of policy.

    ``apply`` gets the policies so far, the config, and where it is applied. It may raise
    :class:`~fluxgate.translator.findings.PolicyError`. ``harmless_without`` tells that a route is no less
    protected when this policy is broken and left out; every other broken policy closes the route.
    ``summary`` is one sentence for people, ``example`` a config as YAML, ``errors`` the answers
    it gives instead of the upstream: status, and when.
    """

    name: str
    config: type[Model]
    apply: Callable[[Policies, Any, Context], Policies]
    harmless_without: bool = False
    summary: str = ""
    example: str = ""
    errors: tuple[tuple[int, str], ...] = ()
