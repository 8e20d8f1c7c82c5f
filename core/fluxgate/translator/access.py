"""Who may call a Route: which credentials it takes, and what it asks of each of them alike."""

from __future__ import annotations

from fluxgate.api.v1alpha1 import Route
from fluxgate.api.v1alpha1.route import RouteAuth
from fluxgate.ir import KeyAuth
from fluxgate.ir.policies.access import STRENGTH, Access
from fluxgate.ir.policies.acl import Acl
from fluxgate.ir.policies.jwt_auth import JwtAuth, JwtProvider
from fluxgate.status import Reason
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.gateways import GatewayScope
from fluxgate.translator.key_table import scopes_of
from fluxgate.translator.plugins import Policies
from fluxgate.translator.tenants import TenantFact

_VERIFIED_BY = {
    "JWT": "jwt-auth",
    "OIDC": "oidc",
    "Basic": "basic-auth",
    "MTLS": "mtls-auth",
}
"""The type of policy that verifies a class of credentials; API keys need none."""

_KEYS_ALONE = ("ApiKey",)


def resolve_access(
    route: Route, policies: Policies, tenant: TenantFact | None, scope: GatewayScope
) -> tuple[KeyAuth | None, Access | None]:
    """What the API key filter and the access filter have to do on ``route``; None for nothing.

    Raises :class:`~fluxgate.translator.findings.PolicyError` when a credential cannot be verified:
    the route must be closed then.
    """
    auth = route.spec.auth or policies.auth
    classes = _classes(auth, policies, by_field=route.spec.auth is not None)
    if not classes:
        _require_no_acl(policies)
        return None, None
    asked = auth or RouteAuth()
    scopes = scopes_of(
        asked.scopes,
        (asked.privilege_domain,) if asked.privilege_domain else (),
        (asked.sub_domain,) if asked.sub_domain else (),
    )
    tenants = (tenant.name,) if tenant else ()
    required = asked.mode == "Required"
    if classes == _KEYS_ALONE:
        return KeyAuth(required, route.spec.realtime, scopes, asked.audiences, tenants), None
    if tenant is not None:
        _require_tenants(tenant, policies, classes)
    plan = _plan(tenant, scope)
    access = Access(classes, required, scopes, asked.audiences, tenants, plan)
    if "ApiKey" not in classes:
        return None, access
    return KeyAuth(required=False, query=route.spec.realtime, deferred=True), access


def _classes(auth: RouteAuth | None, policies: Policies, *, by_field: bool) -> tuple[str, ...]:
    """The classes a route takes, the strongest first.

    Those that ``credentials`` names; else those whose policies are in force, where ``key-auth`` is one
    for API keys; else, of a route with ``auth``, API keys. A client certificate is then asked for
    besides, not instead: it counts among them where ``credentials`` names it, or nothing else is asked.
    """
    in_force = set(policies.credentials)
    beside = in_force - {"MTLS"}
    if auth is None:
        wanted = beside or in_force
    elif auth.mode == "None":
        wanted = set()
    elif auth.credentials:
        wanted = set(auth.credentials)
    elif by_field:
        wanted = beside or set(_KEYS_ALONE)
    else:
        wanted = beside | set(_KEYS_ALONE)
    for each in sorted(wanted - in_force - set(_KEYS_ALONE)):
        raise PolicyError(
            "auth.credentials",
            f"{each} needs a policy of type {_VERIFIED_BY[each]} on this route; add one, or remove {each}",
        )
    return tuple(each for each in STRENGTH if each in wanted)


def unused_tokens(policies: Policies, key_auth: KeyAuth | None) -> str:
    """What to say of a route that trusts issuers and takes API keys alone; empty for nothing."""
    trusts = any(isinstance(each, JwtAuth) for each in policies.on_route)
    if not trusts or key_auth is None or key_auth.deferred:
        return ""
    return (
        "auth.credentials: JWT is not listed, so tokens are not looked at; list it, or switch the "
        "issuers off here: plugins: [{type: jwt-auth, enabled: false}]"
    )


def _require_no_acl(policies: Policies) -> None:
    if any(isinstance(each, Acl) for each in policies.on_route):
        raise PolicyError(
            "acl",
            "the route verifies no credential, so nobody could be on the list; set auth, or "
            "switch the list off here: plugins: [{type: acl, enabled: false}]",
        )


def _require_tenants(tenant: TenantFact, policies: Policies, classes: tuple[str, ...]) -> None:
    """Nobody whose tenant is unknown may use a tenant's route; say so before a request finds out."""
    tokens = next((each for each in policies.on_route if isinstance(each, JwtAuth)), None)
    if tokens is None or "JWT" not in classes:
        return
    for each in policies.shared:
        if not isinstance(each, JwtProvider) or each.name not in tokens.providers:
            continue
        if not each.tenant and not each.claims.tenant:
            name = each.name.rpartition("/")[2]
            raise PolicyError(
                "jwt-auth",
                f"the provider {name!r} says no tenant, so none of its tokens could use a route "
                f"of {tenant.ref}; set tenant, or claims.tenant",
            )


def _plan(tenant: TenantFact | None, scope: GatewayScope) -> str:
    plan = (tenant.plan if tenant else None) or ""
    if tenant is not None and plan and plan not in scope.plans:
        # without its plan a caller would be unlimited
        raise PolicyError(
            "auth",
            f"{tenant.ref} has the plan {plan!r}, which {scope.ref} does not know; add it to spec.plans",
            Reason.REF_NOT_FOUND,
        )
    return plan
