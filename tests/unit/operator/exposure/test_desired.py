"""What a GatewayConfig's exposure amounts to, as documents."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
import yaml
from support.certificates import Authority
from support.resources import document

from fluxgate.api.parse import parse_object
from fluxgate.api.v1alpha1 import GatewayConfig
from fluxgate.ir import Gateway
from fluxgate.resources import ResourceStore, Secret
from fluxgate.secret import SecretBytes
from fluxgate.translator import translate
from fluxgate_operator.exposure.desired import Desired, desired
from fluxgate_operator.exposure.ingress import HOSTS_AN_OBJECT

HTTP = {"name": "http", "port": 8080}
HTTPS = {
    "name": "https",
    "port": 8443,
    "protocol": "HTTPS",
    "tls": {"certificateRefs": [{"name": "site-tls"}]},
}
NGINX = "k8s.io/ingress-nginx"


@cache
def site_certificate() -> Secret:
    """The Secret of :data:`HTTPS`."""
    pair = Authority().issue("a.example.com")
    data = {"tls.crt": SecretBytes(pair.certificate), "tls.key": SecretBytes(pair.key)}
    return Secret("edge", "site-tls", "kubernetes.io/tls", data)


def exposed(
    exposure: dict[str, Any],
    *hosts: str,
    listeners: tuple[dict[str, Any], ...] = (HTTP,),
    name: str = "main",
    controller: str = "",
    own_class: str = "fluxgate",
    route_listeners: tuple[str, ...] = (),
) -> Desired:
    """What ``spec.exposure`` makes of a gateway with one route for these hosts (none: all)."""
    config = {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "GatewayConfig",
        "metadata": {"name": name, "namespace": "edge", "uid": "u-1"},
        "spec": {"listeners": list(listeners), "exposure": exposure},
    }
    spec: dict[str, object] = {
        "matches": [{"path": {"value": "/"}}],
        "backends": [{"kind": "Backend", "name": "b"}],
    }
    if route_listeners:
        spec["listeners"] = list(route_listeners)
    documents: list[dict[str, Any]] = [
        config,
        yaml.safe_load(document("Backend", "b", {"url": "http://127.0.0.1:9"})),
    ]
    for number in range(0, max(len(hosts), 1), 16):
        chunk = {"hosts": list(hosts[number : number + 16])} if hosts else {}
        documents.append(yaml.safe_load(document("Route", f"r{number}", {**spec, **chunk})))
    store = ResourceStore()
    for each in documents:
        each["metadata"]["namespace"] = "edge"
        store.upsert(parse_object(each))
    store.upsert(site_certificate())
    gateway: Gateway = translate(store.freeze()).gateways[f"edge/{name}"]
    parsed = parse_object(config)
    assert isinstance(parsed, GatewayConfig)
    return desired(parsed, gateway, controller, own_class)


def of_kind(found: Desired, kind: str) -> list[dict[str, Any]]:
    return [each for each in found.documents if each["kind"] == kind]


def rules_of(ingress: dict[str, Any]) -> dict[str, tuple[str, int]]:
    """Host to (service, port number) of an Ingress' rules; all paths are the Prefix /."""
    found = {}
    for rule in ingress["spec"]["rules"]:
        (path,) = rule["http"]["paths"]
        assert (path["path"], path["pathType"]) == ("/", "Prefix")
        service = path["backend"]["service"]
        found[rule.get("host", "")] = service["name"], service["port"]["number"]
    return found


def test_kind_none_wants_nothing() -> None:
    assert exposed({}) == Desired()


def test_equal_input_gives_equal_bytes() -> None:
    one, other = (
        exposed({"kind": "Ingress"}, *hosts)
        for hosts in (("a.example.com", "b.example.com"), ("b.example.com", "a.example.com"))
    )
    assert json.dumps(one.documents) == json.dumps(other.documents)


def test_every_object_is_marked_as_ours_and_owned_by_the_gatewayconfig() -> None:
    found = exposed({"kind": "Ingress"}, "a.example.com")
    assert [each["kind"] for each in found.documents] == ["Service", "Ingress"]
    for each in found.documents:
        meta = each["metadata"]
        assert meta["namespace"] == "edge"
        assert meta["labels"] == {
            "app.kubernetes.io/managed-by": "fluxgate",
            "gateway.fluxgate.io/exposure": "main",
        }
        (owner,) = meta["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("GatewayConfig", "main", "u-1")
        assert owner["controller"] is True
        assert "blockOwnerDeletion" not in owner


# Ingress


def test_an_ingress_has_a_rule_for_every_host_and_leads_to_the_fleets_service() -> None:
    found = exposed({"kind": "Ingress", "className": "nginx"}, "a.example.com", "*.b.example.com")
    (service,), (ingress,) = of_kind(found, "Service"), of_kind(found, "Ingress")
    assert service["spec"] == {
        "type": "ClusterIP",
        "selector": {"gateway.fluxgate.io/gateway": "main"},
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP", "targetPort": 8080}],
    }
    assert ingress["spec"]["ingressClassName"] == "nginx"
    to = service["metadata"]["name"], 8080
    assert rules_of(ingress) == {"a.example.com": to, "*.b.example.com": to}
    assert "tls" not in ingress["spec"]


def test_a_route_for_all_hosts_is_a_rule_without_host() -> None:
    (ingress,) = of_kind(exposed({"kind": "Ingress"}), "Ingress")
    assert rules_of(ingress) == {"": ("fluxgate-main", 8080)}


def test_a_users_service_is_pointed_to_by_its_port_and_none_is_made() -> None:
    found = exposed(
        {
            "kind": "Ingress",
            "serviceName": "release-gateway",
            "ports": [{"listener": "http", "port": 80}],
        },
        "a.example.com",
    )
    assert of_kind(found, "Service") == []
    (ingress,) = of_kind(found, "Ingress")
    assert rules_of(ingress) == {"a.example.com": ("release-gateway", 80)}


def test_the_exposures_certificate_is_for_all_hosts_and_requests_go_to_plain_http() -> None:
    found = exposed(
        {"kind": "Ingress", "tlsSecretRef": {"name": "wild"}},
        "a.example.com",
        "b.example.com",
        listeners=(HTTP, HTTPS),
    )
    (ingress,) = of_kind(found, "Ingress")
    assert ingress["spec"]["tls"] == [
        {"hosts": ["a.example.com", "b.example.com"], "secretName": "wild"}
    ]
    assert set(rules_of(ingress).values()) == {("fluxgate-main", 8080)}


def test_without_one_the_certificate_of_the_listener_is_used() -> None:
    found = exposed({"kind": "Ingress"}, "a.example.com", listeners=(HTTP, HTTPS))
    (ingress,) = of_kind(found, "Ingress")
    assert ingress["spec"]["tls"] == [{"hosts": ["a.example.com"], "secretName": "site-tls"}]


def test_hosts_that_only_https_serves_have_an_ingress_that_speaks_tls_to_the_fleet() -> None:
    found = exposed(
        {"kind": "Ingress", "className": "nginx"},
        "a.example.com",
        listeners=(HTTPS,),
        controller=NGINX,
    )
    (ingress,) = of_kind(found, "Ingress")
    assert ingress["metadata"]["name"] == "fluxgate-main-tls"
    assert rules_of(ingress) == {"a.example.com": ("fluxgate-main", 8443)}
    annotations = ingress["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/backend-protocol"] == "HTTPS"


@pytest.mark.parametrize(
    ("controller", "expected"),
    [
        (
            NGINX,
            {
                "nginx.ingress.kubernetes.io/proxy-read-timeout": "7200",
                "nginx.ingress.kubernetes.io/proxy-send-timeout": "7200",
                "nginx.ingress.kubernetes.io/proxy-buffering": "off",
                "nginx.ingress.kubernetes.io/proxy-request-buffering": "off",
            },
        ),
        (
            "nginx.org/ingress-controller",
            {
                "nginx.org/proxy-read-timeout": "7200s",
                "nginx.org/proxy-send-timeout": "7200s",
                "nginx.org/proxy-buffering": "False",
            },
        ),
        ("haproxy.org/ingress-controller/blue", {"haproxy.org/timeout-server": "7200s"}),
        (
            "haproxy-ingress.github.io/controller",
            {
                "haproxy-ingress.github.io/timeout-server": "7200s",
                "haproxy-ingress.github.io/timeout-tunnel": "7200s",
            },
        ),
        (
            "openshift.io/ingress-to-route",
            {
                "haproxy.router.openshift.io/timeout": "7200s",
                "haproxy.router.openshift.io/timeout-tunnel": "7200s",
            },
        ),
        (
            "ingress.k8s.aws/alb",
            {
                "alb.ingress.kubernetes.io/load-balancer-attributes": "idle_timeout.timeout_seconds=4000"
            },
        ),
        ("traefik.io/ingress-controller", {}),
        ("", {}),
    ],
)
def test_streams_are_let_through_by_the_annotations_of_the_class_controller_alone(
    controller: str, expected: dict[str, str]
) -> None:
    exposure = {"kind": "Ingress", "className": "front", "streamTimeout": "2h"}
    (ingress,) = of_kind(exposed(exposure, "a.example.com", controller=controller), "Ingress")
    annotations = dict(ingress["metadata"]["annotations"])
    del annotations["gateway.fluxgate.io/applied"]
    assert annotations == expected


def test_the_users_annotations_win() -> None:
    mine = {
        "nginx.ingress.kubernetes.io/proxy-read-timeout": "5",
        "example.com/team": "edge",
    }
    exposure = {"kind": "Ingress", "className": "nginx", "annotations": mine}
    (ingress,) = of_kind(exposed(exposure, "a.example.com", controller=NGINX), "Ingress")
    annotations = ingress["metadata"]["annotations"]
    assert mine.items() <= annotations.items()
    assert annotations["nginx.ingress.kubernetes.io/proxy-send-timeout"] == "3600"


def test_many_hosts_are_spread_over_bounded_objects_and_one_more_rewrites_one_of_them() -> None:
    hosts = [f"h{number}.example.com" for number in range(3000)]
    few = {
        each["metadata"]["name"]: each
        for each in of_kind(exposed({"kind": "Ingress"}, *hosts[:-1]), "Ingress")
    }
    many = {
        each["metadata"]["name"]: each
        for each in of_kind(exposed({"kind": "Ingress"}, *hosts), "Ingress")
    }
    assert sum(len(each["spec"]["rules"]) for each in many.values()) == 3000
    assert max(len(each["spec"]["rules"]) for each in many.values()) <= HOSTS_AN_OBJECT
    assert max(len(json.dumps(each)) for each in many.values()) < 500_000
    assert few.keys() == many.keys()
    assert sum(few[name] != many[name] for name in many) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("web", "web-tls"), ("web", "web-external"), ("web", "web-1"), ("a.b", "a-b")],
)
def test_the_objects_of_two_gateways_never_share_a_name(one: str, other: str) -> None:
    names = []
    for name in (one, other):
        found = [
            *exposed({"kind": "LoadBalancer"}, name=name).documents,
            *exposed(
                {"kind": "Ingress"},
                *(f"h{number}.example.com" for number in range(900)),
                name=name,
                listeners=(HTTPS,),
            ).documents,
            *exposed(
                {"kind": "Ingress"},
                *(f"h{number}.example.com" for number in range(900)),
                name=name,
            ).documents,
        ]
        names.append({(each["kind"], each["metadata"]["name"]) for each in found})
    assert names[0] & names[1] == set()


def test_a_long_name_of_a_gateway_still_makes_names_of_63_characters() -> None:
    name = "g" * 200
    documents = (
        *exposed({"kind": "LoadBalancer"}, name=name).documents,
        *exposed({"kind": "OpenShiftRoute"}, "h" * 60 + ".example.com", name=name).documents,
    )
    assert len(documents) == 3
    for each in documents:
        assert len(each["metadata"]["name"]) <= 63
        assert len(each["metadata"]["labels"]["gateway.fluxgate.io/exposure"]) <= 63


def test_an_address_is_no_host_of_an_ingress_and_that_is_said() -> None:
    found = exposed({"kind": "Ingress"}, "a.example.com", "192.0.2.7")
    (ingress,) = of_kind(found, "Ingress")
    assert rules_of(ingress).keys() == {"a.example.com"}
    assert found.problems == ("spec.exposure: the host 192.0.2.7 cannot be exposed by name",)


def test_a_host_that_no_listener_takes_is_told() -> None:
    closed = {**HTTPS, "hostnames": ["*.example.org"]}
    found = exposed({"kind": "Ingress"}, "a.example.org", "a.example.com", listeners=(closed,))
    (ingress,) = of_kind(found, "Ingress")
    assert rules_of(ingress).keys() == {"a.example.org"}
    assert len(found.problems) == 1
    assert "a.example.com" in found.problems[0]
    assert "spec.listeners[].hostnames" in found.problems[0]


@pytest.mark.parametrize(
    ("class_name", "controller"),
    [("fluxgate", ""), ("other", "gateway.fluxgate.io/ingress-controller")],
)
def test_an_ingress_of_the_gateways_own_class_is_refused_since_it_would_feed_itself(
    class_name: str, controller: str
) -> None:
    exposure = {"kind": "Ingress", "className": class_name}
    found = exposed(exposure, "a.example.com", controller=controller)
    assert found.documents == ()
    assert "name the class of the controller in front of it" in found.problems[0]


@pytest.mark.parametrize("kind", ["Ingress", "OpenShiftRoute"])
def test_a_certificate_of_another_namespace_is_refused(kind: str) -> None:
    secret = {"name": "wild", "namespace": "certs"}
    found = exposed({"kind": kind, "tlsSecretRef": secret}, "a.example.com")
    assert found.documents == ()
    assert "must live in the namespace 'edge'" in found.problems[0]


# OpenShift


def route_of(exposure: dict[str, Any], host: str, *listeners: dict[str, Any]) -> dict[str, Any]:
    found = exposed({"kind": "OpenShiftRoute", **exposure}, host, listeners=listeners or (HTTP,))
    (route,) = of_kind(found, "Route")
    assert found.problems == ()
    return route


def test_a_route_of_openshift_leads_one_host_to_the_endpoints_port() -> None:
    route = route_of({}, "a.example.com")
    assert route["spec"] == {
        "host": "a.example.com",
        "to": {"kind": "Service", "name": "fluxgate-main", "weight": 100},
        "port": {"targetPort": 8080},
        "wildcardPolicy": "None",
    }
    annotations = route["metadata"]["annotations"]
    assert annotations["haproxy.router.openshift.io/timeout"] == "3600s"
    assert annotations["haproxy.router.openshift.io/timeout-tunnel"] == "3600s"


def test_a_users_service_with_other_ports_is_still_reached_at_the_endpoints_port() -> None:
    exposure = {"serviceName": "mine", "ports": [{"listener": "http", "port": 80}]}
    spec = route_of(exposure, "a.example.com")["spec"]
    assert (spec["to"]["name"], spec["port"]) == ("mine", {"targetPort": 8080})


def test_a_wildcard_host_becomes_a_wildcard_policy() -> None:
    spec = route_of({}, "*.example.com")["spec"]
    assert (spec["host"], spec["wildcardPolicy"]) == ("wildcard.example.com", "Subdomain")


def test_for_all_hosts_the_router_chooses_one() -> None:
    found = exposed({"kind": "OpenShiftRoute"})
    (route,) = of_kind(found, "Route")
    assert "host" not in route["spec"]


@pytest.mark.parametrize(
    ("secret", "listeners", "tls", "port"),
    [
        (False, (HTTP,), None, 8080),
        (False, (HTTP, HTTPS), "passthrough", 8443),
        (True, (HTTP, HTTPS), "edge", 8080),
        (True, (HTTPS,), "reencrypt", 8443),
    ],
)
def test_tls_ends_where_a_certificate_is(
    secret: bool, listeners: tuple[dict[str, Any], ...], tls: str | None, port: int
) -> None:
    exposure = {"tlsSecretRef": {"name": "wild"}} if secret else {}
    spec = route_of(exposure, "a.example.com", *listeners)["spec"]
    assert spec["port"] == {"targetPort": port}
    if tls is None:
        assert "tls" not in spec
        return
    assert spec["tls"]["termination"] == tls
    assert spec["tls"]["insecureEdgeTerminationPolicy"] == "Redirect"
    assert spec["tls"].get("externalCertificate") == ({"name": "wild"} if secret else None)


def test_every_host_has_a_route_with_a_name_of_its_own() -> None:
    hosts = ("a.example.com", "a-example.com", "*.example.com", "wildcard.example.com")
    found = of_kind(exposed({"kind": "OpenShiftRoute"}, *hosts), "Route")
    assert len({each["metadata"]["name"] for each in found}) == 4


# Services


def test_a_load_balancer_has_a_port_for_every_listener() -> None:
    exposure = {
        "kind": "LoadBalancer",
        "className": "example.com/internal",
        "annotations": {"example.com/scheme": "internal"},
        "externalTrafficPolicy": "Local",
        "ports": [{"listener": "https", "port": 443}],
    }
    (service,) = exposed(exposure, "a.example.com", listeners=(HTTP, HTTPS)).documents
    assert service["metadata"]["name"] == "fluxgate-main-external"
    assert service["metadata"]["annotations"]["example.com/scheme"] == "internal"
    assert service["spec"] == {
        "type": "LoadBalancer",
        "loadBalancerClass": "example.com/internal",
        "externalTrafficPolicy": "Local",
        "selector": {"gateway.fluxgate.io/gateway": "main"},
        "ports": [
            {"name": "http", "port": 8080, "protocol": "TCP", "targetPort": 8080},
            {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 8443},
        ],
    }


@pytest.mark.parametrize(("own", "port"), [({}, 443), ({"http3Port": 444}, 444)])
def test_a_listener_with_http_3_is_reached_by_udp_from_outside(own: dict, port: int) -> None:
    listener = {**HTTPS, "http3": True, **own}
    exposure = {"kind": "LoadBalancer", "ports": [{"listener": "https", "port": 443}]}
    (service,) = exposed(exposure, "a.example.com", listeners=(listener,)).documents
    assert service["spec"]["ports"] == [
        {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 8443},
        {"name": "https-quic", "port": port, "protocol": "UDP", "targetPort": 8443},
    ]


def test_listeners_that_share_a_port_share_that_of_the_service() -> None:
    both = [{**HTTPS, "name": name, "hostnames": [f"{name}.example.com"]} for name in "ab"]
    (service,) = exposed({"kind": "LoadBalancer"}, "a.example.com", listeners=both).documents
    assert [each["name"] for each in service["spec"]["ports"]] == ["a"]


def test_a_node_port_is_taken_as_given_and_the_selector_too() -> None:
    exposure = {
        "kind": "NodePort",
        "selector": {"app": "edge"},
        "ports": [{"listener": "http", "nodePort": 30080}],
    }
    (service,) = exposed(exposure, "a.example.com").documents
    assert service["spec"]["selector"] == {"app": "edge"}
    assert service["spec"]["ports"][0]["nodePort"] == 30080
