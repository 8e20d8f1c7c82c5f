"""ApiKey: the digest of a credential, and the identity it stands for."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from fluxgate.api.v1alpha1.base import Cidr, Model, ObjectName, PrinterColumn, Resource, Scope
from fluxgate.api.v1alpha1.rules import Rule

IdentityValue = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_.:@/+=~-]+$", min_length=1, max_length=128)
]
"""A value that becomes part of an identity header: no spaces, no control characters."""


class ApiKeySpec(Model):
    """The specification of an ApiKey. The key itself is never stored."""

    hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="Lower-case hexadecimal SHA-256 of the whole key as it is presented."
    )
    prefix: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,32}$")] = Field(
        description="The visible start of the key, for example flc_service_."
    )
    last_four: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{4}$")] = Field(
        description="The last four characters, to tell keys apart in a list."
    )
    display_name: Annotated[str, StringConstraints(max_length=253)] = ""
    tenant: ObjectName | None = None
    workspace: IdentityValue | None = None
    subject: IdentityValue | None = Field(
        default=None, description="x-auth-subject; the key's own id when absent."
    )
    audience: (
        Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=63)] | None
    ) = Field(default=None, description="For whom the key was made: anon, service, project, admin.")
    role: IdentityValue | None = Field(
        default=None, description="Database role, sent as x-pg-role."
    )
    bypasses_row_security: bool = Field(
        default=False, description="The role may bypass row-level security; refused for anon keys."
    )
    scopes: Annotated[tuple[Scope, ...], Field(max_length=64)] = ()
    privilege_domains: Annotated[
        tuple[Literal["structural_admin", "data_access"], ...], Field(max_length=2)
    ] = ()
    sub_domains: Annotated[tuple[Literal["function_deployment"], ...], Field(max_length=1)] = ()
    plan: ObjectName | None = None
    allowed_cidrs: Annotated[tuple[Cidr, ...], Field(max_length=64)] = Field(
        default=(), description="Client addresses that may use the key; empty means any."
    )
    rotate_after: AwareDatetime | None = Field(
        default=None, description="When the key is due for rotation; it still works after it."
    )
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None
    revoked: bool = False

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "bypassesRowSecurity",
            "an anon key never bypasses row-level security",
            "!self.bypassesRowSecurity || !has(self.audience) || self.audience != 'anon'",
            lambda self: not self.bypasses_row_security or self.audience != "anon",
        ),
        Rule(
            "bypassesRowSecurity",
            "a key with an anon prefix never bypasses row-level security",
            "!self.bypassesRowSecurity || !self.prefix.contains('_anon_')",
            lambda self: not self.bypasses_row_security or "_anon_" not in self.prefix,
        ),
    )


class ApiKey(Resource):
    """A hashed API key."""

    plural: ClassVar[str] = "apikeys"
    short_names: ClassVar[tuple[str, ...]] = ("fgk",)
    columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Prefix", ".spec.prefix"),
        PrinterColumn("Last four", ".spec.lastFour"),
        PrinterColumn("Tenant", ".spec.tenant"),
        PrinterColumn("Plan", ".spec.plan"),
        PrinterColumn("Revoked", ".spec.revoked", "boolean", 1),
        PrinterColumn("Expires", ".spec.expiresAt", "string", 1),
    )
    kind: Literal["ApiKey"] = "ApiKey"
    spec: ApiKeySpec
