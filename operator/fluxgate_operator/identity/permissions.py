"""Which ServiceAccounts a GatewayConfig lets be nodes of its fleet."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fluxgate.api.v1alpha1 import GatewayConfig
from fluxgate.resources import ObjectRef
from fluxgate_xds.tokens import TokenIdentity

_DEFAULT = "default"


def may_be_node(
    configs: Callable[[], Mapping[ObjectRef, GatewayConfig]],
) -> Callable[[str, TokenIdentity], bool]:
    """Pods of the GatewayConfig's namespace, and those it names; a fleet that is not there has none.

    ``configs`` are the GatewayConfigs there are now.
    """

    def allowed(gateway: str, identity: TokenIdentity) -> bool:
        namespace, _, name = gateway.rpartition("/")
        ref = ObjectRef("GatewayConfig", namespace or _DEFAULT, name)
        config = configs().get(ref)
        if config is None:
            return False
        return identity.namespace == ref.namespace or any(
            each.namespace == identity.namespace and each.name in (None, identity.service_account)
            for each in config.spec.allowed_service_accounts
        )

    return allowed
