"""Ways in, made and kept in a real API server by an account with the chart's rights and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cluster.exposure.conftest import RIGHTS, Fleet, fleet_in
from support.cluster import ControlPlane
from support.fault_proxy import FaultProxy
from support.statuses import until

from fluxgate.resources import ObjectRef
from fluxgate.status import Reason
from fluxgate_operator.exposure.address import Address
from fluxgate_operator.kube.types import INGRESSES, SERVICES

INGRESS = {"kind": "Ingress"}
BALANCER = {"kind": "LoadBalancer"}


async def test_the_objects_are_taken_by_the_api_server_as_the_configs_own(fleet: Fleet) -> None:
    fleet.route("r", "a.example.com", "*.b.example.com")
    ref = await fleet.gateway({**INGRESS, "className": "front", "tlsSecretRef": {"name": "wild"}})
    await fleet.look()
    service = await fleet.admin.get(SERVICES, fleet.namespace, "fluxgate-main")
    ingress = await fleet.admin.get(INGRESSES, fleet.namespace, "fluxgate-main")
    for each in (service, ingress):
        (owner,) = each["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"]) == ("GatewayConfig", "main")
        (managed,) = each["metadata"]["managedFields"]
        assert (managed["manager"], managed["operation"]) == ("fluxgate", "Apply")
    assert [each["host"] for each in ingress["spec"]["rules"]] == [
        "*.b.example.com",
        "a.example.com",
    ]
    condition = fleet.condition(ref)
    assert condition is not None
    assert (condition.status, condition.reason) == (False, Reason.PENDING)

    await fleet.has_address(INGRESSES, "fluxgate-main")
    await fleet.look()
    condition = fleet.condition(ref)
    assert condition is not None
    assert (condition.status, condition.reason) == (True, Reason.EXPOSED)
    assert fleet.exposures.addresses(ref) == (Address("IPAddress", "192.0.2.1"),)


async def test_nothing_is_asked_when_nothing_changed_and_nothing_written_when_it_is_so(
    fleet: Fleet,
) -> None:
    fleet.route("r", "a.example.com")
    await fleet.gateway(INGRESS)
    await fleet.look()
    await until(lambda: len(fleet.written()) == 2)
    before = fleet.asked()

    for _ in range(5):
        await fleet.look()
    fleet.route("another-of-the-same-host", "a.example.com")
    await fleet.look()
    await fleet.shown(INGRESSES, "fluxgate-main")  # a news, but none of what we wanted
    await fleet.look()

    after = len(before) + 3
    await until(lambda: len(fleet.asked()) >= after)
    assert [each[:2] for each in fleet.asked()[len(before) :]] == [
        ("list", "ingresses"),
        ("list", "routes"),
        ("list", "services"),
    ]


async def test_a_new_host_changes_the_ingress_and_nothing_else(fleet: Fleet) -> None:
    fleet.route("r", "a.example.com")
    await fleet.gateway(INGRESS)
    await fleet.look()
    await until(lambda: len(fleet.written()) == 2)
    fleet.route("s", "b.example.com")
    await fleet.look()
    await until(lambda: len(fleet.written()) == 3)
    assert fleet.written()[2] == ("patch", "ingresses", "fluxgate-main")
    ingress = await fleet.there(INGRESSES, "fluxgate-main")
    assert ingress is not None
    assert len(ingress["spec"]["rules"]) == 2


async def test_what_others_change_is_repaired_and_what_they_add_stays(fleet: Fleet) -> None:
    await fleet.gateway(BALANCER)
    await fleet.look()
    name = "fluxgate-main-external"
    patch = {
        "metadata": {"labels": {"example.com/mine": "1"}},
        "spec": {"selector": {"gateway.fluxgate.io/gateway": "elsewhere"}},
    }
    await fleet.admin.merge_patch(SERVICES, fleet.namespace, name, patch)
    await fleet.shown(SERVICES, name)
    await fleet.look()
    found = await fleet.there(SERVICES, name)
    assert found is not None
    assert found["spec"]["selector"] == {"gateway.fluxgate.io/gateway": "main"}
    assert found["metadata"]["labels"]["example.com/mine"] == "1"


async def test_deleted_or_stripped_of_its_labels_it_is_made_right_again(fleet: Fleet) -> None:
    await fleet.gateway(BALANCER)
    await fleet.look()
    name = "fluxgate-main-external"
    await fleet.shown(SERVICES, name)
    stripped = {"metadata": {"labels": None}}
    await fleet.admin.merge_patch(SERVICES, fleet.namespace, name, stripped)
    await fleet.shown(SERVICES, name)
    await fleet.look()
    found = await fleet.there(SERVICES, name)
    assert found is not None
    assert found["metadata"]["labels"]["gateway.fluxgate.io/exposure"] == "main"

    await fleet.shown(SERVICES, name)
    await fleet.admin.delete(SERVICES, fleet.namespace, name)
    await fleet.shown(SERVICES, name)
    await fleet.look()
    assert await fleet.there(SERVICES, name) is not None


async def test_an_annotation_that_is_not_wanted_any_more_is_taken_away(fleet: Fleet) -> None:
    await fleet.gateway({**BALANCER, "annotations": {"example.com/a": "1"}})
    await fleet.look()
    await fleet.gateway(BALANCER)
    await fleet.look()
    found = await fleet.there(SERVICES, "fluxgate-main-external")
    assert found is not None
    assert found["metadata"]["annotations"].keys() == {"gateway.fluxgate.io/applied"}


async def test_another_kind_takes_over_before_the_old_way_in_goes(fleet: Fleet) -> None:
    fleet.route("r", "a.example.com")
    ref = await fleet.gateway(INGRESS)
    await fleet.look()
    await fleet.has_address(INGRESSES, "fluxgate-main", "192.0.2.1")
    await fleet.gateway(BALANCER)
    await fleet.look()
    assert await fleet.there(INGRESSES, "fluxgate-main") is not None
    condition = fleet.condition(ref)
    assert condition is not None
    assert f"Ingress {fleet.namespace}/fluxgate-main stays until then" in condition.message

    await fleet.has_address(SERVICES, "fluxgate-main-external", "192.0.2.2")
    await fleet.look()
    assert await fleet.names(INGRESSES) == set()
    assert await fleet.names(SERVICES) == {"fluxgate-main-external"}
    assert fleet.exposures.addresses(ref) == (Address("IPAddress", "192.0.2.2"),)
    await until(lambda: len(fleet.written()) == 5)
    assert fleet.written() == [
        ("patch", "services", "fluxgate-main"),
        ("patch", "ingresses", "fluxgate-main"),
        ("patch", "services", "fluxgate-main-external"),
        ("delete", "ingresses", "fluxgate-main"),
        ("delete", "services", "fluxgate-main"),
    ]


async def test_where_no_address_is_ever_told_the_old_way_in_goes_after_a_while(
    fleet: Fleet,
) -> None:
    fleet.settings = replace(fleet.settings, admission=0.0)
    fleet.start()
    fleet.route("r", "a.example.com")
    await fleet.gateway(BALANCER)
    await fleet.look()
    await fleet.gateway(INGRESS)
    await fleet.look()
    assert await fleet.names(SERVICES) == {"fluxgate-main"}


async def test_a_node_port_and_a_load_balancer_are_one_service_that_changes(fleet: Fleet) -> None:
    ref = await fleet.gateway({"kind": "NodePort"})
    await fleet.look()
    made = await fleet.there(SERVICES, "fluxgate-main-external")
    assert made is not None
    port = made["spec"]["ports"][0]["nodePort"]
    assert fleet.exposures.addresses(ref) == (Address("NodePort", str(port)),)
    await fleet.gateway(BALANCER)
    await fleet.look()
    changed = await fleet.there(SERVICES, "fluxgate-main-external")
    assert changed is not None
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]
    assert changed["spec"]["ports"][0]["nodePort"] == port


async def test_kind_none_takes_everything_away(fleet: Fleet) -> None:
    fleet.route("r", "a.example.com")
    ref = await fleet.gateway(INGRESS)
    await fleet.look()
    await fleet.gateway({"kind": "None"})
    await fleet.look()
    assert await fleet.names(INGRESSES) | await fleet.names(SERVICES) == set()
    assert fleet.condition(ref) is None


async def test_an_object_of_the_name_that_is_not_ours_is_left_alone_and_told_of(
    fleet: Fleet,
) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "fluxgate-main-external"},
        "spec": {"ports": [{"port": 1}], "selector": {"app": "theirs"}},
    }
    theirs = await fleet.admin.create(SERVICES, fleet.namespace, body)
    ref = await fleet.gateway(BALANCER)
    other = await fleet.gateway(BALANCER, "second")
    await fleet.look()
    assert await fleet.there(SERVICES, "fluxgate-main-external") == theirs
    condition = fleet.condition(ref)
    assert condition is not None
    assert (condition.status, condition.reason) == (False, Reason.NOT_EXPOSED)
    assert f"Service {fleet.namespace}/fluxgate-main-external exists" in condition.message
    assert fleet.condition(other) != condition
    assert "fluxgate-second-external" in await fleet.names(SERVICES)
    # nor is it deleted with the config
    fleet.store.remove(ref)
    await fleet.admin.request("DELETE", _path(ref))
    await fleet.look()
    assert await fleet.there(SERVICES, "fluxgate-main-external") == theirs


def _path(ref: ObjectRef) -> str:
    return (
        f"/apis/gateway.fluxgate.io/v1alpha1/namespaces/{ref.namespace}/gatewayconfigs/{ref.name}"
    )


async def test_what_is_left_of_a_deleted_config_is_swept_without_a_garbage_collector(
    fleet: Fleet,
) -> None:
    fleet.route("r", "a.example.com")
    ref = await fleet.gateway(INGRESS)
    await fleet.look()
    await fleet.admin.request("DELETE", _path(ref))
    fleet.store.remove(ref)
    fleet.start()  # a new leader, who has never seen the config
    await fleet.look()
    assert await fleet.names(INGRESSES) | await fleet.names(SERVICES) == set()


async def test_what_leads_to_a_config_that_the_store_lacks_but_the_cluster_has_stays(
    fleet: Fleet,
) -> None:
    """Our models refuse it, say: its fleet goes on serving what it had."""
    ref = await fleet.gateway(BALANCER)
    await fleet.look()
    fleet.store.remove(ref)
    await fleet.look()
    assert await fleet.names(SERVICES) == {"fluxgate-main-external"}


async def test_without_the_right_to_one_kind_the_others_go_on(
    control_plane: ControlPlane, namespace: str
) -> None:
    rights = {key: verbs for key, verbs in RIGHTS.items() if key[1] != "ingresses"}
    async with fleet_in(control_plane, namespace, rights) as fleet:
        fleet.route("r", "a.example.com")
        refused = await fleet.gateway(INGRESS, "behind")
        fine = await fleet.gateway(BALANCER, "direct")
        await fleet.look()
        condition = fleet.condition(refused)
        assert condition is not None
        assert condition.reason is Reason.NOT_EXPOSED
        assert "Ingresses are out of reach here: 403" in condition.message
        assert "fluxgate-direct-external" in await fleet.names(SERVICES)
        assert fleet.condition(fine) is not None


@pytest.mark.parametrize("code", [429, 503])
async def test_a_kind_that_is_out_of_reach_for_a_while_is_no_matter_of_the_others(
    control_plane: ControlPlane, namespace: str, fault_proxy: FaultProxy, code: int
) -> None:
    async with fleet_in(control_plane, namespace, proxy=fault_proxy) as fleet:
        fleet.route("r", "a.example.com")
        behind = await fleet.gateway(INGRESS, "behind")
        await fleet.look()
        before = fleet.condition(behind)

        fault_proxy.answer(code, which=lambda seen: "/ingresses" in seen.path)
        fleet.route("s", "b.example.com")
        await fleet.gateway(BALANCER, "direct")
        await fleet.look()
        assert "fluxgate-direct-external" in await fleet.names(SERVICES)
        assert fleet.condition(behind) == before

        fault_proxy.heal()
        await fleet.look()
        ingress = await fleet.there(INGRESSES, "fluxgate-behind")
        assert ingress is not None
        assert len(ingress["spec"]["rules"]) == 2


async def test_with_no_right_to_write_it_says_so_and_asks_again_only_now_and_then(
    control_plane: ControlPlane, namespace: str
) -> None:
    rights = {key: tuple(set(verbs) & {"get", "list"}) for key, verbs in RIGHTS.items()}
    async with fleet_in(control_plane, namespace, rights) as fleet:
        ref = await fleet.gateway(BALANCER)
        await fleet.look()
        condition = fleet.condition(ref)
        assert condition is not None
        assert "cannot be written: 403" in condition.message
        await until(lambda: len(fleet.written()) == 1)
        before = len(fleet.asked())
        for _ in range(3):
            await fleet.look()
        assert len(fleet.asked()) == before


async def test_without_the_right_to_delete_the_old_way_in_is_told_of(
    control_plane: ControlPlane, namespace: str
) -> None:
    rights = {key: tuple(set(verbs) - {"delete"}) for key, verbs in RIGHTS.items()}
    async with fleet_in(control_plane, namespace, rights) as fleet:
        ref = await fleet.gateway({"kind": "NodePort"})
        await fleet.look()
        await fleet.gateway({"kind": "None"})
        await fleet.look()
        condition = fleet.condition(ref)
        assert condition is not None
        assert "fluxgate-main-external is not wanted any more and cannot be deleted" in (
            condition.message
        )


async def test_a_cluster_without_openshifts_routes_says_so(fleet: Fleet) -> None:
    fleet.route("r", "a.example.com")
    ref = await fleet.gateway({"kind": "OpenShiftRoute"})
    await fleet.look()
    condition = fleet.condition(ref)
    assert condition is not None
    assert condition.message == (
        "this cluster has no Route of route.openshift.io; choose another spec.exposure.kind"
    )


async def test_who_loses_the_lease_while_it_looks_writes_nothing(fleet: Fleet) -> None:
    fleet.leading = False
    await fleet.gateway(BALANCER)
    await fleet.look()
    assert await fleet.names(SERVICES) == set()
    assert fleet.written() == []
