"""The client's requests against the real API server, and what becomes of failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.fault_proxy import FaultProxy

from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import (
    ConflictError,
    ForbiddenError,
    GoneError,
    KubeApiError,
    KubeUnreachableError,
    NotFoundError,
    TooManyRequestsError,
    UnauthorizedError,
)
from fluxgate_operator.kube.types import CONFIG_MAPS, NAMESPACES, KubeType

OURS = "odd"
"""The label of ``config_map``: a controller manager puts a ConfigMap into every namespace, too."""


def config_map(name: str, **data: str) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"odd": str(int(name[-1], 36) % 2)}},
        "data": data,
    }


@pytest.fixture
async def filled(kube: KubeClient, namespace: str) -> list[str]:
    """Seven objects, by name."""
    names = [f"map-{number}" for number in range(7)]
    for name in names:
        await kube.create(CONFIG_MAPS, namespace, config_map(name))
    return names


@pytest.fixture
async def through_proxy(fault_proxy: FaultProxy) -> AsyncIterator[KubeClient]:
    """A client with all rights that goes through the proxy, and gives up after two seconds."""
    access = await load_access(fault_proxy.kubeconfig, None, {})
    async with KubeClient(access, timeout=2.0) as client:
        yield client


async def test_pages_show_every_object_once_at_one_resource_version(
    kube: KubeClient, namespace: str, filled: list[str]
):
    pages = []
    async for page in kube.pages(CONFIG_MAPS, namespace, limit=3, label_selector=OURS):
        pages.append(page)
        name = f"late-{len(pages)}"  # what is created meanwhile belongs to a later list
        await kube.create(CONFIG_MAPS, namespace, config_map(name))
    assert [len(page.items) for page in pages] == [3, 3, 1]
    assert [each["metadata"]["name"] for page in pages for each in page.items] == filled
    assert len({page.resource_version for page in pages}) == 1


async def test_a_page_token_that_is_not_kept_any_more_is_gone(
    kube: KubeClient, through_proxy: KubeClient, fault_proxy: FaultProxy, namespace: str, filled
):
    fault_proxy.answer(410, which=lambda seen: "continue" in seen.query)
    pages = through_proxy.pages(CONFIG_MAPS, namespace, limit=3, label_selector=OURS)
    assert len((await anext(pages)).items) == 3
    with pytest.raises(GoneError):
        await anext(pages)
    fault_proxy.heal()
    listing = await through_proxy.list(CONFIG_MAPS, namespace, label_selector=OURS)
    assert len(listing.items) == len(filled)


async def test_a_list_can_be_narrowed(kube: KubeClient, namespace: str, filled: list[str]):
    odd = await kube.list(CONFIG_MAPS, namespace, label_selector="odd=1")
    assert [each["metadata"]["name"] for each in odd.items] == filled[1::2]
    one = [
        each["metadata"]["name"]
        async for page in kube.pages(
            CONFIG_MAPS, namespace, field_selector=f"metadata.name={filled[0]}"
        )
        for each in page.items
    ]
    assert one == filled[:1]


async def test_only_the_newest_version_of_an_object_can_be_replaced(
    kube: KubeClient, namespace: str
):
    read = await kube.create(CONFIG_MAPS, namespace, config_map("map-1", a="1"))
    newer = await kube.replace(CONFIG_MAPS, namespace, {**read, "data": {"a": "2"}})
    with pytest.raises(ConflictError) as error:
        await kube.replace(CONFIG_MAPS, namespace, {**read, "data": {"a": "3"}})
    assert error.value.reason == "Conflict"
    assert (await kube.get(CONFIG_MAPS, namespace, "map-1"))["data"] == newer["data"] == {"a": "2"}


async def test_a_patch_can_be_bound_to_a_version_too(kube: KubeClient, namespace: str):
    read = await kube.create(CONFIG_MAPS, namespace, config_map("map-1", a="1"))
    version = {"metadata": {"resourceVersion": read["metadata"]["resourceVersion"]}}
    await kube.merge_patch(CONFIG_MAPS, namespace, "map-1", {**version, "data": {"a": "2"}})
    with pytest.raises(ConflictError):
        await kube.merge_patch(CONFIG_MAPS, namespace, "map-1", {**version, "data": {"a": "3"}})


async def test_creating_what_exists_is_a_conflict(kube: KubeClient, namespace: str):
    await kube.create(CONFIG_MAPS, namespace, config_map("map-1"))
    with pytest.raises(ConflictError) as error:
        await kube.create(CONFIG_MAPS, namespace, config_map("map-1"))
    assert error.value.reason == "AlreadyExists"


async def test_a_delete_can_be_bound_to_the_very_object(kube: KubeClient, namespace: str):
    made = await kube.create(CONFIG_MAPS, namespace, config_map("map-1"))
    with pytest.raises(ConflictError):
        await kube.delete(CONFIG_MAPS, namespace, "map-1", uid="another")
    await kube.delete(CONFIG_MAPS, namespace, "map-1", uid=made["metadata"]["uid"])
    with pytest.raises(NotFoundError):
        await kube.get(CONFIG_MAPS, namespace, "map-1")


async def test_applying_a_field_of_another_manager_conflicts_unless_forced(
    kube: KubeClient, namespace: str
):
    def body(value: str) -> dict:
        return config_map("map-1", a=value)

    await kube.apply(CONFIG_MAPS, namespace, body("1"), manager="one", force=False)
    with pytest.raises(ConflictError, match="one"):
        await kube.apply(CONFIG_MAPS, namespace, body("2"), manager="two", force=False)
    taken = await kube.apply(CONFIG_MAPS, namespace, body("2"), manager="two", force=True)
    assert taken["data"] == {"a": "2"}
    managers = {each["manager"] for each in taken["metadata"]["managedFields"]}
    assert managers == {"one", "two"}  # both say the label; the value is two's


async def test_a_kind_that_is_not_installed_is_not_found(kube: KubeClient, namespace: str):
    with pytest.raises(NotFoundError):
        await kube.list(KubeType("example.com", "v1", "nothings", "Nothing"), namespace)


@pytest.mark.parametrize(
    ("code", "error"),
    [(401, UnauthorizedError), (403, ForbiddenError), (404, NotFoundError), (503, KubeApiError)],
)
async def test_an_answer_above_400_is_an_error_of_its_kind(
    through_proxy: KubeClient, fault_proxy: FaultProxy, code: int, error: type[KubeApiError]
):
    fault_proxy.answer(code, times=1)
    with pytest.raises(error) as raised:
        await through_proxy.list(NAMESPACES)
    assert raised.value.code == code
    assert raised.value.retry_after is None
    assert (await through_proxy.list(NAMESPACES)).items


async def test_a_busy_server_says_how_long_to_wait(
    through_proxy: KubeClient, fault_proxy: FaultProxy
):
    fault_proxy.answer(429, retry_after=7, times=1)
    with pytest.raises(TooManyRequestsError) as raised:
        await through_proxy.list(NAMESPACES)
    assert raised.value.retry_after == 7.0


async def test_refused_connections_are_unreachable_until_the_server_is_back(
    through_proxy: KubeClient, fault_proxy: FaultProxy
):
    assert (await through_proxy.list(NAMESPACES)).items
    fault_proxy.refuse()
    with pytest.raises(KubeUnreachableError, match="Connect call failed"):
        await through_proxy.list(NAMESPACES)
    fault_proxy.heal()
    assert (await through_proxy.list(NAMESPACES)).items


async def test_a_connection_cut_while_idle_costs_no_request(
    through_proxy: KubeClient, fault_proxy: FaultProxy
):
    assert (await through_proxy.list(NAMESPACES)).items
    fault_proxy.cut()
    assert (await through_proxy.list(NAMESPACES)).items


async def test_silence_ends_with_the_timeout(through_proxy: KubeClient, fault_proxy: FaultProxy):
    fault_proxy.black_hole()
    with pytest.raises(KubeUnreachableError):
        await through_proxy.list(NAMESPACES)
    fault_proxy.heal()
    assert (await through_proxy.list(NAMESPACES)).items


async def test_a_connection_cut_during_a_request_is_unreachable(
    through_proxy: KubeClient, fault_proxy: FaultProxy
):
    fault_proxy.black_hole()
    asking = asyncio.create_task(through_proxy.create(NAMESPACES, None, {"metadata": {}}))
    await asyncio.to_thread(fault_proxy.wait_for, lambda seen: seen.method == "POST")
    fault_proxy.cut()
    with pytest.raises(KubeUnreachableError):
        await asking
