"""Which listeners are kept out, and when their addresses are asked for again."""

from __future__ import annotations

from dataclasses import replace

from support.gateway import LISTENER, gateway

from fluxgate.ir import Gateway
from fluxgate_operator.listener_guard import ListenerGuard

FIRST = replace(LISTENER, name="first", port=8001)
SECOND = replace(LISTENER, name="second", port=8002)


class Ports:
    """The operating system's answers."""

    def __init__(self) -> None:
        self.taken: set[int] = set()
        self.taken_udp: set[int] = set()
        self.asked: list[int] = []

    def __call__(self, host: str, port: int, udp: bool) -> str:
        self.asked.append(port)
        taken = self.taken_udp if udp else self.taken
        return f"{host}:{port} is taken" if port in taken else ""


def admitted(guard: ListenerGuard, *listeners: object) -> list[str]:
    found: Gateway = guard.admit({"main": gateway(listeners=listeners)})["main"]
    return [each.name for each in found.listeners]


def test_a_gateway_whose_addresses_are_free_is_the_same_object() -> None:
    whole = gateway(listeners=(FIRST, SECOND))
    assert ListenerGuard(Ports()).admit({"main": whole})["main"] is whole


def test_a_listener_whose_address_is_taken_is_left_out_with_its_reason() -> None:
    ports = Ports()
    ports.taken = {8002}
    guard = ListenerGuard(ports)
    assert admitted(guard, FIRST, SECOND) == ["first"]
    assert guard.problems == {("127.0.0.1", 8002, False): "127.0.0.1:8002 is taken"}


def test_an_address_in_use_by_ourselves_is_not_asked_for_again() -> None:
    ports = Ports()
    guard = ListenerGuard(ports)
    admitted(guard, FIRST)
    ports.taken = {8001}  # by our own Envoy
    assert admitted(guard, FIRST, SECOND) == ["first", "second"]
    assert ports.asked == [8001, 8002]


def test_a_taken_address_is_asked_for_until_it_is_free() -> None:
    ports = Ports()
    ports.taken = {8001}
    guard = ListenerGuard(ports)
    assert admitted(guard, FIRST) == []
    assert admitted(guard, FIRST) == []
    ports.taken = set()
    assert admitted(guard, FIRST) == ["first"]
    assert guard.problems == {}


def test_an_address_that_was_given_up_is_asked_for_when_it_is_wanted_again() -> None:
    ports = Ports()
    guard = ListenerGuard(ports)
    admitted(guard, FIRST, SECOND)
    admitted(guard, FIRST)
    ports.taken = {8002}
    assert admitted(guard, FIRST, SECOND) == ["first"]


def test_a_gateway_that_vanished_gives_its_addresses_up() -> None:
    ports = Ports()
    guard = ListenerGuard(ports)
    admitted(guard, FIRST)
    guard.admit({})
    ports.taken = {8001}
    assert admitted(guard, FIRST) == []


def test_a_listener_whose_udp_port_is_taken_serves_without_http_3_until_it_is_free() -> None:
    ports = Ports()
    ports.taken_udp = {8001}
    guard = ListenerGuard(ports)
    whole = {"main": gateway(listeners=(replace(FIRST, http3=True), SECOND))}
    assert [each.http3 for each in guard.admit(whole)["main"].listeners] == [False, False]
    assert guard.problems == {("127.0.0.1", 8001, True): "127.0.0.1:8001 is taken"}
    ports.taken_udp = set()
    assert guard.admit(whole)["main"] is whole["main"]
