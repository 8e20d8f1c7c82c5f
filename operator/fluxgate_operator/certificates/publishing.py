"""Where others find whom to trust: a ConfigMap for Envoys, ``caBundle`` for the API server."""

from __future__ import annotations

import base64
from typing import Any

from fluxgate_operator.certificates.secret import NAME, missing
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import ConflictError, ForbiddenError, NotFoundError
from fluxgate_operator.kube.types import CONFIG_MAPS, KubeType

_GROUP = "admissionregistration.k8s.io"
WEBHOOK_KINDS = (
    KubeType(
        _GROUP,
        "v1",
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
        namespaced=False,
    ),
    KubeType(
        _GROUP,
        "v1",
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
        namespaced=False,
    ),
)


async def publish_bundle(client: KubeClient, namespace: str, bundle: bytes) -> None:
    """Bring the ConfigMap to ``bundle``; writes only when it differs.

    Raises ``KubeError``, and ``AuthoritySecretError`` when it is missing and may not be made.
    """
    data = {"ca.crt": bundle.decode()}
    try:
        found = await client.get(CONFIG_MAPS, namespace, NAME)
    except NotFoundError:
        meta = {"name": NAME, "labels": {"app.kubernetes.io/managed-by": "fluxgate"}}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
        try:
            await client.create(CONFIG_MAPS, namespace, body)
        except ConflictError:
            return  # another replica did; the next round compares
        except ForbiddenError as error:
            raise missing("ConfigMap", namespace, error) from error
        return
    if found.get("data") != data:
        await client.merge_patch(CONFIG_MAPS, namespace, NAME, {"data": data})


async def publish_to_webhooks(client: KubeClient, name: str, bundle: bytes) -> None:
    """Bring ``caBundle`` of both webhook configurations named ``name`` to ``bundle``.

    What is not there (no webhooks in the chart's values) is left alone. Raises ``KubeError``.
    """
    wanted = base64.b64encode(bundle).decode()
    for kind in WEBHOOK_KINDS:
        try:
            found = await client.get(kind, None, name)
        except NotFoundError:
            continue
        webhooks: list[dict[str, Any]] = found.get("webhooks") or []
        if all(each["clientConfig"].get("caBundle") == wanted for each in webhooks):
            continue
        # a merge patch replaces the whole list: the resource version says that it is the one read
        changed = [
            {**each, "clientConfig": {**each["clientConfig"], "caBundle": wanted}}
            for each in webhooks
        ]
        meta = {"resourceVersion": found["metadata"]["resourceVersion"]}
        await client.merge_patch(kind, None, name, {"metadata": meta, "webhooks": changed})
