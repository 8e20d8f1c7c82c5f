"""Paths of Kubernetes' REST interface."""

from __future__ import annotations

import pytest

from fluxgate_operator.kube.types import LEASES, NAMESPACES, OUR_TYPES, SECRETS, KubeType

ROUTES = next(each for each in OUR_TYPES if each.kind == "Route")


@pytest.mark.parametrize(
    ("type_", "arguments", "path"),
    [
        (SECRETS, (), "/api/v1/secrets"),
        (SECRETS, ("ns",), "/api/v1/namespaces/ns/secrets"),
        (SECRETS, ("ns", "a"), "/api/v1/namespaces/ns/secrets/a"),
        (NAMESPACES, (), "/api/v1/namespaces"),
        (NAMESPACES, ("ignored", "a"), "/api/v1/namespaces/a"),
        (LEASES, ("ns",), "/apis/coordination.k8s.io/v1/namespaces/ns/leases"),
        (
            ROUTES,
            ("ns", "a", "status"),
            "/apis/gateway.fluxgate.io/v1alpha1/namespaces/ns/routes/a/status",
        ),
        (SECRETS, ("n/s", "a?b"), "/api/v1/namespaces/n%2Fs/secrets/a%3Fb"),
    ],
)
def test_a_path_names_collection_object_and_subresource(
    type_: KubeType, arguments: tuple[str, ...], path: str
):
    assert type_.path(*arguments) == path


def test_the_api_version_of_core_has_no_group():
    assert SECRETS.api_version == "v1"
    assert ROUTES.api_version == "gateway.fluxgate.io/v1alpha1"
