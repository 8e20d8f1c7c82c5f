"""Which gateway a caller means."""

from __future__ import annotations

from fluxgate.resources import ObjectRef
from fluxgate_admin.errors import NotFoundError, UnprocessableError
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.catalogue import Catalogue

KIND = "GatewayConfig"
_MOST = 100


def choose_gateway(
    catalogue: Catalogue, principal: Principal, name: str, namespace: str
) -> ObjectRef:
    """The GatewayConfig of that name, or the only one the caller sees.

    Raises ``NotFoundError``, and ``UnprocessableError`` when it could be several.
    """
    page = catalogue.page(principal, KIND, limit=_MOST, namespace=namespace)
    refs = [ObjectRef(KIND, o.metadata.namespace, o.metadata.name) for o in page.objects]
    found = [each for each in refs if name in ("", each.name)]
    if not found:
        raise NotFoundError(f"There is no gateway {name}." if name else "There is no gateway.")
    if len(found) > 1:
        known = ", ".join(f"{each.namespace}/{each.name}" for each in found)
        raise UnprocessableError(
            f"Say which with ?gateway= and ?namespace=: {known}.", error="ambiguous_gateway"
        )
    return found[0]
