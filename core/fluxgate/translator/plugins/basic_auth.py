"""``basic-auth``: users with passwords (RFC 7617), for tools and people without anything better.

Users stand in a Secret, under ``.htpasswd``. Envoy checks SHA-1 hashes only (``htpasswd -s``), which
are unsalted and fast to guess: use long random passwords, or ``oidc`` or ``ext-authz`` for people.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.policy import SecretRef
from fluxgate.ir.policies.basic_auth import BasicAuth
from fluxgate.secret import SecretBytes
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.htpasswd import read_users
from fluxgate.translator.plugins.base import Context, Policies, PolicyType

USERS_KEY = ".htpasswd"
Realm = Annotated[
    str, StringConstraints(pattern=r'^[^\x00-\x1f\x7f"\\]*$', min_length=1, max_length=128)
]


class BasicAuthConfig(Model):
    """The config of ``basic-auth``."""

    users_ref: SecretRef = Field(
        description="Secret whose key .htpasswd has one name:{SHA}hash a line (htpasswd -s). "
        "Other hashes are refused: Envoy cannot check them."
    )
    realm: Realm = Field(default="fluxgate", description="What browsers show when they ask.")
    forward_credentials: bool = Field(
        default=False, description="Whether the upstream gets name and password, too."
    )


def _apply(policies: Policies, config: BasicAuthConfig, context: Context) -> Policies:
    data = context.secret(config.users_ref, "config.usersRef", USERS_KEY)
    try:
        users = SecretBytes(read_users(data.reveal()).encode())
    except ValueError as error:
        message = f"Secret {config.users_ref.name}: {USERS_KEY} {error}"
        raise PolicyError("config.usersRef", message) from None
    rule = BasicAuth(users, config.realm, config.forward_credentials)
    return policies.verifying("Basic").adding(rule)


POLICY = PolicyType(
    "basic-auth",
    BasicAuthConfig,
    _apply,
    summary="Asks for a user's name and password; users stand hashed in a Secret.",
    example="usersRef: {name: site-users}\nrealm: Example\n",
    errors=((401, "no name and password are sent, or they are not those of a user"),),
)
