"""The local cluster's name server answers as a cluster's does."""

from __future__ import annotations

import struct

from e2e.local.names import names_of, reply_to, resolver_of

NAMES = {"web.shop.svc.cluster.local": frozenset({"10.231.1.9", "10.231.1.7"})}
A, AAAA = 1, 28


def query(name: str, kind: int) -> bytes:
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return (
        struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + question + b"\0" + struct.pack("!2H", kind, 1)
    )


def header(answer: bytes) -> tuple[int, int, int]:
    """Its number, its code and how many records it has."""
    number, flags, _, answers, _, _ = struct.unpack_from("!6H", answer)
    assert flags & 0x8000
    return number, flags & 0xF, answers


def test_a_service_has_the_addresses_of_its_pods() -> None:
    answer = reply_to(query("Web.shop.svc.cluster.local", A), NAMES)
    assert header(answer) == (7, 0, 2)
    assert answer.endswith(bytes([0, 4, 10, 231, 1, 9]))


def test_it_exists_without_an_address_of_the_other_family() -> None:
    assert header(reply_to(query("web.shop.svc.cluster.local", AAAA), NAMES)) == (7, 0, 0)


def test_what_does_not_exist_is_said_not_to() -> None:
    assert header(reply_to(query("web.shop.svc", A), NAMES)) == (7, 3, 0)


def test_noise_is_not_answered() -> None:
    assert reply_to(b"", NAMES) == b""
    assert reply_to(query("web", A)[:15], NAMES) == b""


def slice_of(address: str, *, ready: bool) -> dict[str, object]:
    labels = {"kubernetes.io/service-name": "web"}
    endpoint = {"addresses": [address], "conditions": {"ready": ready}}
    return {"metadata": {"namespace": "shop", "labels": labels}, "endpoints": [endpoint]}


def test_pods_that_are_not_ready_count_while_no_other_is() -> None:
    ready, other = slice_of("10.231.1.7", ready=True), slice_of("10.231.1.9", ready=False)
    assert names_of([ready, other]) == {"web.shop.svc.cluster.local": frozenset({"10.231.1.7"})}
    assert names_of([other]) == {"web.shop.svc.cluster.local": frozenset({"10.231.1.9"})}


def test_a_pod_searches_its_own_namespace_first() -> None:
    assert resolver_of("shop", "10.231.1.1").splitlines() == [
        "search shop.svc.cluster.local svc.cluster.local cluster.local",
        "nameserver 10.231.1.1",
        "options ndots:5",
    ]
