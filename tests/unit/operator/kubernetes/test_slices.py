"""What the endpoints of a Service are."""

from __future__ import annotations

from fluxgate.resources import Endpoint, ObjectRef, ResourceStore
from fluxgate_operator.providers.kubernetes.endpoints import EndpointsTable
from fluxgate_operator.providers.kubernetes.slices import read_service, read_slice, resolve


def service(*ports, **spec):
    meta = {"namespace": "default", "name": "web"}
    return {"metadata": meta, "spec": {"ports": list(ports or ({"port": 80},)), **spec}}


def slice_(*endpoints, name="web-1", family="IPv4", ports=({"name": "", "port": 8080},), of="web"):
    return {
        "metadata": {
            "namespace": "default",
            "name": name,
            "labels": {"kubernetes.io/service-name": of},
        },
        "addressType": family,
        "ports": list(ports) if ports is not None else None,
        "endpoints": list(endpoints),
    }


def ready(address, zone=None, **conditions):
    return {"addresses": [address], "conditions": {"ready": True, **conditions}, "zone": zone}


def endpoints(svc, *slices):
    return resolve("default", "web", read_service(svc), map(read_slice, slices)).ports


def test_a_service_port_leads_to_the_target_port_of_the_same_name():
    svc = service({"port": 80, "name": "http"}, {"port": 90, "name": "admin"})
    ports = ({"name": "http", "port": 8080}, {"name": "admin", "port": 9090})
    assert endpoints(svc, slice_(ready("192.0.2.1"), ports=ports)) == {
        80: (Endpoint("192.0.2.1", 8080),),
        90: (Endpoint("192.0.2.1", 9090),),
    }


def test_pods_may_resolve_a_named_target_port_differently():
    found = endpoints(
        service(),
        slice_(ready("192.0.2.1")),
        slice_(ready("192.0.2.2"), name="web-2", ports=({"name": None, "port": 8081},)),
    )
    assert found == {80: (Endpoint("192.0.2.1", 8080), Endpoint("192.0.2.2", 8081))}


def test_a_port_without_endpoints_is_a_port():
    assert endpoints(service()) == {80: ()}


def test_what_is_not_ready_is_left_out():
    assert endpoints(service(), slice_(ready("192.0.2.1"), ready("192.0.2.2", ready=False))) == {
        80: (Endpoint("192.0.2.1", 8080),)
    }


def test_an_unknown_condition_counts_as_ready():
    assert endpoints(service(), slice_({"addresses": ["192.0.2.1"]}))[80]


def test_when_none_is_ready_those_that_still_serve_are_used():
    ending = ready("192.0.2.1", ready=False, serving=True, terminating=True)
    dead = ready("192.0.2.2", ready=False, serving=False, terminating=True)
    assert endpoints(service(), slice_(ending, dead)) == {80: (Endpoint("192.0.2.1", 8080),)}


def test_the_first_family_of_a_dual_stack_service_is_used():
    both = (slice_(ready("192.0.2.1")), slice_(ready("2001:db8::1"), name="6", family="IPv6"))
    svc = service(ipFamilies=["IPv6", "IPv4"])
    assert endpoints(svc, *both) == {80: (Endpoint("2001:db8::1", 8080),)}
    assert endpoints(service(ipFamilies=["IPv4", "IPv6"]), *both) == {
        80: (Endpoint("192.0.2.1", 8080),)
    }


def test_the_other_family_is_used_when_the_first_has_no_endpoints():
    svc = service(ipFamilies=["IPv4", "IPv6"])
    assert endpoints(svc, slice_(ready("2001:db8::1"), family="IPv6"))[80]


def test_an_address_in_two_slices_counts_once_and_keeps_its_zone():
    found = endpoints(
        service(), slice_(ready("192.0.2.1")), slice_(ready("192.0.2.1", "a"), name="web-2")
    )
    assert found == {80: (Endpoint("192.0.2.1", 8080, "a"),)}


def test_a_headless_service_has_the_endpoints_of_its_pods():
    assert endpoints(service(clusterIP="None"), slice_(ready("192.0.2.1")))[80]


def test_udp_ports_are_none_of_ours():
    assert endpoints(service({"port": 53, "protocol": "UDP"})) == {}


def test_an_external_name_has_no_endpoints_and_says_so():
    svc = read_service(service(type="ExternalName", externalName="db.example.com"))
    found = resolve("default", "web", svc, ())
    assert (found.ports, "https://db.example.com" in found.note) == ({}, True)


def test_only_services_that_are_referred_to_enter_the_store():
    store = ResourceStore()
    table = EndpointsTable(store)
    table.put_service(service())
    table.put_slice(slice_(ready("192.0.2.1")))
    table.settle()
    ref = ObjectRef("Service", "default", "web")
    assert store.get(ref) is None
    table.want({("default", "web")})
    table.settle()
    assert store.get(ref).ports == {80: (Endpoint("192.0.2.1", 8080),)}
    table.want(set())
    table.settle()
    assert store.get(ref) is None


def test_a_foreign_slice_changes_nothing():
    store = ResourceStore()
    table = EndpointsTable(store)
    table.want({("default", "web")})
    table.settle()
    before = store.revision
    table.put_slice(slice_(ready("192.0.2.1"), of="foreign"))
    table.settle()
    assert store.revision == before


def test_a_slice_may_change_hands_and_go():
    store = ResourceStore()
    table = EndpointsTable(store)
    table.want({("default", "web")})
    table.put_service(service())
    table.put_slice(slice_(ready("192.0.2.1")))
    table.put_slice(slice_(ready("192.0.2.1"), of="other"))
    table.settle()
    ref = ObjectRef("Service", "default", "web")
    assert store.get(ref).ports == {80: ()}
    table.put_slice(slice_(ready("192.0.2.1")))
    table.drop_slice("default", "web-1")
    table.settle()
    assert store.get(ref).ports == {80: ()}
