"""Annotations that let server-sent events and long streams through what stands in front.

One table, by the ``spec.controller`` of the IngressClass, so an Ingress carries only what its own
controller reads. Sources of the names:

- ingress-nginx, "Annotations" (``nginx.ingress.kubernetes.io/proxy-read-timeout``, in seconds,
  ``proxy-send-timeout``, ``proxy-buffering``, ``proxy-request-buffering``, ``backend-protocol``)
- F5 NGINX Ingress Controller, "Advanced configuration with Annotations" (``nginx.org/proxy-read-timeout``,
  ``nginx.org/proxy-send-timeout``, ``nginx.org/proxy-buffering``, ``nginx.org/ssl-services``)
- HAProxy Technologies' kubernetes-ingress, "Annotations" (``haproxy.org/timeout-server``,
  ``haproxy.org/server-ssl``)
- haproxy-ingress, "Configuration keys" (``haproxy-ingress.github.io/timeout-server``, ``timeout-tunnel``,
  ``secure-backends``)
- OpenShift, "Route-specific annotations" (``haproxy.router.openshift.io/timeout``,
  ``haproxy.router.openshift.io/timeout-tunnel``); an Ingress of OpenShift's own class becomes a Route
  with the same annotations
- AWS Load Balancer Controller, "Ingress annotations"
  (``alb.ingress.kubernetes.io/load-balancer-attributes: idle_timeout.timeout_seconds=…``, at most 4000)

Traefik (``traefik.io/ingress-controller``) neither buffers nor has a time limit by annotation:
there it is an option of the entry point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

Annotations = dict[str, str]

_ALB_LIMIT = 4000


def openshift(seconds: int) -> Annotations:
    """For the OpenShift router, on a Route as on an Ingress."""
    return {
        "haproxy.router.openshift.io/timeout": f"{seconds}s",
        "haproxy.router.openshift.io/timeout-tunnel": f"{seconds}s",
    }


def for_ingress(controller: str, seconds: int, *, secure: str = "") -> Annotations:
    """For an Ingress of a class with this ``spec.controller``; none for one that is not known.

    ``secure`` is the name of the Service when it has to be spoken to by TLS, empty otherwise.
    """
    make = next((make for name, make in _BY_CONTROLLER.items() if _is(controller, name)), None)
    return make(seconds, secure) if make else {}


def _is(controller: str, name: str) -> bool:
    """Several of one kind in a cluster append a name of their own: ``haproxy.org/…/blue``."""
    return controller == name or controller.startswith(f"{name}/")


def _ingress_nginx(seconds: int, secure: str) -> Annotations:
    prefix = "nginx.ingress.kubernetes.io"
    found = {
        f"{prefix}/proxy-read-timeout": str(seconds),
        f"{prefix}/proxy-send-timeout": str(seconds),
        f"{prefix}/proxy-buffering": "off",
        f"{prefix}/proxy-request-buffering": "off",
    }
    return found | ({f"{prefix}/backend-protocol": "HTTPS"} if secure else {})


def _f5_nginx(seconds: int, secure: str) -> Annotations:
    found = {
        "nginx.org/proxy-read-timeout": f"{seconds}s",
        "nginx.org/proxy-send-timeout": f"{seconds}s",
        "nginx.org/proxy-buffering": "False",
    }
    return found | ({"nginx.org/ssl-services": secure} if secure else {})


def _haproxy(seconds: int, secure: str) -> Annotations:
    found = {"haproxy.org/timeout-server": f"{seconds}s"}
    return found | ({"haproxy.org/server-ssl": "true"} if secure else {})


def _haproxy_ingress(seconds: int, secure: str) -> Annotations:
    prefix = "haproxy-ingress.github.io"
    found = {
        f"{prefix}/timeout-server": f"{seconds}s",
        f"{prefix}/timeout-tunnel": f"{seconds}s",
    }
    return found | ({f"{prefix}/secure-backends": "true"} if secure else {})


def _alb(seconds: int, secure: str) -> Annotations:
    prefix = "alb.ingress.kubernetes.io"
    idle = f"idle_timeout.timeout_seconds={min(seconds, _ALB_LIMIT)}"
    found = {f"{prefix}/load-balancer-attributes": idle}
    return found | ({f"{prefix}/backend-protocol": "HTTPS"} if secure else {})


_BY_CONTROLLER: Mapping[str, Callable[[int, str], Annotations]] = {
    "k8s.io/ingress-nginx": _ingress_nginx,
    "nginx.org/ingress-controller": _f5_nginx,
    "haproxy.org/ingress-controller": _haproxy,
    "haproxy-ingress.github.io/controller": _haproxy_ingress,
    "openshift.io/ingress-to-route": lambda seconds, _: openshift(seconds),
    "ingress.k8s.aws/alb": _alb,
}
