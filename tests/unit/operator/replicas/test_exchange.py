"""What replicas tell one another, who counts as one, and what is adopted."""

from __future__ import annotations

from typing import Any

import pytest

from fluxgate.api.parse import parse_object
from fluxgate.resources import ObjectRef, ResourceStore
from fluxgate.translator import SetAside, spec_digest
from fluxgate_operator.replicas.adoption import adopted
from fluxgate_operator.replicas.members import ADDRESS, Roster
from fluxgate_operator.replicas.report import (
    Report,
    ReportedNode,
    ReportError,
    decode,
    decode_hello,
    encode,
    encode_hello,
)
from fluxgate_operator.replicas.settings import is_loopback

REF = ObjectRef("Upstream", "default", "a")


def test_a_report_arrives_as_it_was_sent() -> None:
    node = ReportedNode("n", "main", "c1", 990.0, "v1", "no acknowledgement")
    report = Report((node,), {REF: SetAside("d", "words")}, {REF: "in use"})
    assert decode(encode("one", report, 1000.0), 1000.0) == ("one", report)


def test_clocks_of_replicas_need_not_agree() -> None:
    node = ReportedNode("n", "main", "c1", 990.0, "v1")
    _, found = decode(encode("one", Report((node,)), 1000.0), 5.0)
    assert found.nodes[0].connected_at == -5.0


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"nodes": 1}', b"\xff"])
def test_nonsense_is_refused(payload: bytes) -> None:
    with pytest.raises(ReportError):
        decode(payload, 0.0)
    with pytest.raises(ReportError):
        decode_hello(payload)


def test_fields_of_newer_replicas_are_ignored() -> None:
    document = b'{"replica":"x","nodes":[],"setAside":[],"rejections":[],"more":1}'
    assert decode(document, 0.0) == ("x", Report())
    assert decode_hello(encode_hello("x")) == "x"


def lease(holder: str, version: str, uid: str = "u", address: str = "127.0.0.1:1") -> Any:
    return {
        "metadata": {
            "name": f"fluxgate-replica-{holder}",
            "uid": uid,
            "resourceVersion": version,
            "annotations": {ADDRESS: address} if address else {},
        },
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15},
    }


def test_a_replica_expires_when_its_lease_was_not_seen_to_change_for_its_duration() -> None:
    roster = Roster("me")
    assert not roster.observe([lease("b", "1")], 100.0)["b"].expired
    assert not roster.observe([lease("b", "1")], 114.0)["b"].expired
    assert roster.observe([lease("b", "1")], 115.0)["b"].expired
    assert not roster.observe([lease("b", "2")], 116.0)["b"].expired


def test_oneself_and_leases_without_an_address_are_not_others() -> None:
    assert Roster("me").observe([lease("me", "1"), lease("b", "1", address="")], 0.0) == {}


def store_with(port: int) -> ResourceStore:
    store = ResourceStore()
    store.upsert(
        parse_object(
            {
                "apiVersion": "gateway.fluxgate.io/v1alpha1",
                "kind": "Upstream",
                "metadata": {"name": "a"},
                "spec": {"targets": [{"host": "127.0.0.1", "port": port}]},
            }
        )
    )
    return store


def test_what_was_rejected_elsewhere_is_adopted_for_the_very_same_content_only() -> None:
    resources = store_with(1).freeze()
    same = SetAside(spec_digest(store_with(1).freeze().upstreams[REF]), "words")
    other = SetAside(spec_digest(store_with(2).freeze().upstreams[REF]), "words")
    assert adopted(resources, {}, {REF: (other, same)}) == {REF: same}
    assert adopted(resources, {}, {REF: (other,)}) == {}
    assert adopted(resources, {REF: same}, {REF: (same,)}) == {}
    assert adopted(resources, {REF: other}, {REF: (same,)}) == {REF: same}
    assert adopted(ResourceStore().freeze(), {}, {REF: (same,)}) == {}


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1:1", True), ("[::1]:1", True), ("localhost:1", True), ("10.0.0.1:1", False)],
)
def test_only_this_machine_is_talked_to_without_tls(address: str, local: bool) -> None:
    assert is_loopback(address) is local
