"""What an observer, and the admin API beside it, has to be allowed to do."""

from __future__ import annotations

from collections.abc import Iterable

from fluxgate_operator.certificates.secret import NAME as CA_NAME
from fluxgate_operator.kube.types import (
    LEASES,
    OUR_TYPES,
    SECRETS,
    SUBJECT_ACCESS_REVIEWS,
    TOKEN_REVIEWS,
    KubeType,
)
from fluxgate_operator.rights import Need, reading
from fluxgate_operator.settings import ControllerSettings


def needs(settings: ControllerSettings, read: Iterable[KubeType]) -> list[Need]:
    """Reading as a controller does, writing objects of our kinds, and asking about callers.

    ``read`` are the kinds that are listed and watched.
    """
    scopes = settings.cluster.namespaces or (None,)
    found = reading(settings, read)
    found += [
        Need(("get", "create", "update", "delete"), each, scope)
        for each in OUR_TYPES
        for scope in scopes
    ]
    found.append(Need(("list",), LEASES, settings.namespace))
    found.append(Need(("create",), TOKEN_REVIEWS, None))
    found.append(Need(("create",), SUBJECT_ACCESS_REVIEWS, None))
    if not settings.insecure and settings.tls_dir is None:
        found.append(Need(("get",), SECRETS, settings.namespace, name=CA_NAME))
    return found
