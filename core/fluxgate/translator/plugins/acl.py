"""``acl``: which of the verified callers may use a route."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.base import ObjectName, Scope
from fluxgate.api.v1alpha1.patterns import LINE_PATTERN
from fluxgate.api.v1alpha1.rules import Rule
from fluxgate.ir.policies.acl import Acl, AclEntries
from fluxgate.translator.plugins.base import Context, Policies, PolicyType

Identity = Annotated[str, StringConstraints(pattern=LINE_PATTERN, min_length=1, max_length=256)]
"""A subject or role as the key or the token says it."""


class AclList(Model):
    """What callers have. Domains are those of an API key, or of a token's claims."""

    scopes: Annotated[tuple[Scope, ...], Field(max_length=64)] = ()
    subjects: Annotated[tuple[Identity, ...], Field(max_length=1024)] = Field(
        default=(), description="As in x-auth-subject."
    )
    tenants: Annotated[tuple[ObjectName, ...], Field(max_length=256)] = ()
    roles: Annotated[tuple[Identity, ...], Field(max_length=64)] = Field(
        default=(), description="The role in x-pg-role, or one of the claims claims.roles names."
    )
    privilege_domains: Annotated[
        tuple[Literal["structural_admin", "data_access"], ...], Field(max_length=2)
    ] = ()
    sub_domains: Annotated[tuple[Literal["function_deployment"], ...], Field(max_length=1)] = ()


class AclConfig(Model):
    """The config of ``acl``."""

    allow: AclList = Field(
        default=AclList(),
        description="A caller needs one entry of every list that has any; without lists all may.",
    )
    deny: AclList = Field(
        default=AclList(), description="A caller with any of these is refused, whatever allow says."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "names nobody; list somebody under allow or deny",
            "has(self.allow) || has(self.deny)",
            lambda self: self.allow != AclList() or self.deny != AclList(),
        ),
    )


def _apply(policies: Policies, config: AclConfig, _context: Context) -> Policies:
    return policies.adding(Acl(_entries(config.allow), _entries(config.deny)))


def _entries(entries: AclList) -> AclEntries:
    return AclEntries(
        scopes=entries.scopes,
        domains=tuple(f"privilege_domain:{each}" for each in entries.privilege_domains),
        subdomains=tuple(f"sub_domain:{each}" for each in entries.sub_domains),
        subjects=entries.subjects,
        tenants=entries.tenants,
        roles=entries.roles,
    )


POLICY = PolicyType(
    "acl",
    AclConfig,
    _apply,
    summary="Lets only some of the verified callers pass, by scope, subject, tenant, role or domain.",
    example="""\
allow:
  scopes: [orders:read, orders:write]
  tenants: [acme]
deny:
  subjects: [svc:retired]
""",
    errors=(
        (401, "the request has no credential, and only listed callers may pass"),
        (403, "the caller is not on the list, or is excluded by it"),
    ),
)
