"""Names of the kinds we ask an API server for, and the paths they have there."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from fluxgate.api.v1alpha1 import API_VERSION, KINDS


@dataclass(frozen=True, slots=True)
class KubeType:
    """A kind, as Kubernetes' REST paths name it. ``group`` is empty for core/v1."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As ``apiVersion`` says it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The path of a collection, of one object, or of a subresource; None is all namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{quote(namespace, safe='')}" if namespace and self.namespaced else ""
        tail = f"/{quote(name, safe='')}" if name else ""
        return f"{root}{inside}/{self.plural}{tail}" + (f"/{subresource}" if subresource else "")


GROUP, _, VERSION = API_VERSION.partition("/")

OUR_TYPES: tuple[KubeType, ...] = tuple(
    KubeType(GROUP, VERSION, model.plural, str(model.model_fields["kind"].default))
    for model in KINDS
)
"""The kinds of ``gateway.fluxgate.io``."""

VALIDATING_WEBHOOK = "resources.gateway.fluxgate.io"
"""Our own, that judges objects of these kinds; as the API server names it in a refusal."""

SECRETS = KubeType("", "v1", "secrets", "Secret")
SERVICES = KubeType("", "v1", "services", "Service")
NAMESPACES = KubeType("", "v1", "namespaces", "Namespace", namespaced=False)
PODS = KubeType("", "v1", "pods", "Pod")
CONFIG_MAPS = KubeType("", "v1", "configmaps", "ConfigMap")
EVENTS = KubeType("events.k8s.io", "v1", "events", "Event")
ENDPOINT_SLICES = KubeType("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
LEASES = KubeType("coordination.k8s.io", "v1", "leases", "Lease")
INGRESSES = KubeType("networking.k8s.io", "v1", "ingresses", "Ingress")
INGRESS_CLASSES = KubeType(
    "networking.k8s.io", "v1", "ingressclasses", "IngressClass", namespaced=False
)
OPENSHIFT_ROUTES = KubeType("route.openshift.io", "v1", "routes", "Route")
TOKEN_REVIEWS = KubeType(
    "authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False
)
SUBJECT_ACCESS_REVIEWS = KubeType(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)
CRDS = KubeType(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
)
