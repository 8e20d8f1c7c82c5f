"""What a controller asks to be allowed, and how a missing right is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fluxgate_operator.kube.types import LEASES, OUR_TYPES, SECRETS, TOKEN_REVIEWS
from fluxgate_operator.rights import Need, needs
from fluxgate_operator.settings import ClusterSettings, ControllerSettings

ROUTES = next(each for each in OUR_TYPES if each.kind == "Route")
ROBOT = "system:serviceaccount:gateway-system:fluxgate"


def settings(**changes: object) -> ControllerSettings:
    base = ControllerSettings("gateway-system", "replica-0")
    return dataclasses.replace(base, **changes)


def of(found: list[Need], kind: str) -> list[Need]:
    return [each for each in found if each.type.kind == kind]


def test_every_kind_that_is_read_is_listed_and_watched_everywhere():
    (read, status) = of(needs(settings(), [ROUTES]), "Route")
    assert (read.verbs, read.namespace) == (("list", "watch"), None)
    assert (status.verbs, status.subresource) == (("patch",), "status")


def test_a_controller_of_some_namespaces_asks_for_nothing_outside_them():
    cluster = ClusterSettings(namespaces=("a", "b"))
    found = of(needs(settings(cluster=cluster), [ROUTES]), "Route")
    assert sorted({each.namespace for each in found}) == ["a", "b"]


def test_a_kind_that_is_read_twice_is_asked_for_once():
    assert len(of(needs(settings(), [ROUTES, ROUTES]), "Route")) == 2


@pytest.mark.parametrize(
    ("changes", "reviews", "secrets"),
    [
        ({}, 1, 1),
        ({"tls_dir": Path("/tls")}, 1, 0),
        ({"insecure": True}, 0, 0),
    ],
    ids=["its own authority", "certificates of others", "plain text"],
)
def test_only_what_the_settings_use_is_asked_for(changes, reviews, secrets):
    found = needs(settings(**changes), [])
    assert len(of(found, TOKEN_REVIEWS.kind)) == reviews
    assert len(of(found, SECRETS.kind)) == secrets
    assert len(of(found, LEASES.kind)) == 1


def test_what_is_missing_is_told_with_the_command_that_gives_it():
    need = Need(("list", "watch"), ROUTES, None)
    assert need.told(["watch"], ROBOT) == (
        "Route: ServiceAccount gateway-system/fluxgate may not watch routes.gateway.fluxgate.io "
        "in any namespace; bind it to a ClusterRole made by `kubectl create clusterrole "
        "fluxgate-routes --verb=watch --resource=routes.gateway.fluxgate.io`"
    )


def test_a_right_on_one_object_in_one_namespace_names_both():
    told = Need(("get",), SECRETS, "gateway-system", name="ca").told(["get"], "ada")
    assert told == (
        "Secret: ada may not get secrets in namespace gateway-system; bind it to a Role made by "
        "`kubectl create role fluxgate-secrets --verb=get --resource=secrets --resource-name=ca`"
    )


def test_a_subresource_is_written_as_kubectl_takes_it():
    assert Need(("patch",), ROUTES, None, "status").resource == "routes.gateway.fluxgate.io/status"
