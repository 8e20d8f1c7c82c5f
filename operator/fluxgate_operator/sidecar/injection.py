"""From a pod that asks for a sidecar to the JSON patch (RFC 6902) that gives it one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fluxgate.api.v1alpha1 import GatewayConfig
from fluxgate.errors import FluxGateError
from fluxgate.resources import ObjectRef
from fluxgate.translator.result import gateway_key
from fluxgate_operator.identity.permissions import may_be_node
from fluxgate_operator.sidecar.container import (
    sidecar_annotations,
    sidecar_container,
    sidecar_volumes,
)
from fluxgate_operator.sidecar.settings import (
    CONTAINER,
    GATEWAY,
    HEALTH_PORT,
    METRICS_PORT,
    PROBE_PORT,
    SidecarSettings,
)
from fluxgate_xds.tokens import TokenIdentity

Patch = list[dict[str, Any]]
Configs = Mapping[ObjectRef, GatewayConfig]


class InjectionRefusedError(FluxGateError):
    """The pod asks for a sidecar that it cannot have; the message names the remedy."""


def inject(
    pod: Mapping[str, Any], namespace: str, configs: Configs, settings: SidecarSettings
) -> Patch:
    """What to change; nothing when the pod has this very sidecar already (reinvocation).

    ``namespace`` is the pod's, which the pod itself need not say. Raises
    :class:`InjectionRefusedError`.
    """
    config = _gateway(pod, namespace, configs)
    _check(pod, config)
    _check_account(pod, namespace, config, configs)
    spec, metadata = pod["spec"], pod["metadata"]
    key = gateway_key(ObjectRef("GatewayConfig", config.metadata.namespace, config.metadata.name))
    wanted = (
        (
            "/metadata/annotations",
            metadata.get("annotations"),
            {**(metadata.get("annotations") or {}), **sidecar_annotations(settings)},
        ),
        (
            "/spec/initContainers",
            spec.get("initContainers"),
            _with(spec.get("initContainers"), [sidecar_container(pod, namespace, key, settings)]),
        ),
        (
            "/spec/volumes",
            spec.get("volumes"),
            _with(spec.get("volumes"), sidecar_volumes(settings)),
        ),
    )
    return [
        {"op": "add" if before is None else "replace", "path": path, "value": after}
        for path, before, after in wanted
        if before != after
    ]


def _with(present: list[dict[str, Any]] | None, ours: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours first, so that the application's own init containers can use it.

    What the API server or other webhooks added to ours meanwhile stays.
    """
    listed, names = present or [], {each["name"] for each in ours}
    before = {each["name"]: each for each in listed}
    return [
        *({**before.get(each["name"], {}), **each} for each in ours),
        *(each for each in listed if each["name"] not in names),
    ]


def _gateway(pod: Mapping[str, Any], namespace: str, configs: Configs) -> GatewayConfig:
    wanted = (pod["metadata"].get("annotations") or {}).get(GATEWAY, "")
    if not wanted:
        raise InjectionRefusedError(
            f"the pod has no annotation {GATEWAY}; name the GatewayConfig of its sidecar, "
            "as NAME or NAMESPACE/NAME"
        )
    owner, _, name = wanted.rpartition("/")
    ref = ObjectRef("GatewayConfig", owner or namespace, name)
    config = configs.get(ref)
    if config is None:
        here = sorted(f"{r.namespace}/{r.name}" for r, c in configs.items() if _is_sidecar(c))
        raise InjectionRefusedError(
            f"annotation {GATEWAY}: there is no {ref}; of mode Sidecar are: "
            f"{', '.join(here) or 'none'}"
        )
    if not _is_sidecar(config):
        raise InjectionRefusedError(
            f"annotation {GATEWAY}: {ref} is not for sidecars; set its spec.mode to Sidecar"
        )
    return config


def _is_sidecar(config: GatewayConfig) -> bool:
    return config.spec.mode == "Sidecar"


def _check(pod: Mapping[str, Any], config: GatewayConfig) -> None:
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        raise InjectionRefusedError(
            "a pod with hostNetwork cannot have a sidecar: its loopback is the machine's"
        )
    ours = {each.port: f"listener {each.name}" for each in config.spec.listeners}
    ours |= {PROBE_PORT: "the probe", METRICS_PORT: "its metrics", HEALTH_PORT: "health"}
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        for port in container.get("ports") or []:
            number = port["containerPort"]
            if container["name"] != CONTAINER and number in ours:
                raise InjectionRefusedError(
                    f"container {container['name']} has port {number}, which the sidecar needs "
                    f"for {ours[number]} of {config.metadata.namespace}/{config.metadata.name}; "
                    "choose another"
                )


def _check_account(
    pod: Mapping[str, Any], namespace: str, config: GatewayConfig, configs: Configs
) -> None:
    account = pod["spec"].get("serviceAccountName") or "default"
    allowed: Callable[[str, TokenIdentity], bool] = may_be_node(lambda: configs)
    owner, name = config.metadata.namespace, config.metadata.name
    if not allowed(f"{owner}/{name}", TokenIdentity(namespace, account, "", 0)):
        raise InjectionRefusedError(
            f"ServiceAccount {namespace}/{account} may not be a node of {owner}/{name}; "
            "list it in the GatewayConfig's spec.allowedServiceAccounts"
        )
