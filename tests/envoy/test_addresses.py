"""Where targets can be: names, resolved strictly or logically; IPv6; Unix sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.dns import NameServer
from support.documents import Documents, gateway, obj
from support.envoy import eventually
from support.fleet import Fleet, ask, same, tally

pytestmark = pytest.mark.envoy
NAME = "orders.example.com"


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """Three servers on one port and three addresses, as the addresses of one name are."""
    with Fleet("a") as first:
        port = first["a"].port
        places = {"a": f"127.0.0.2:{port}", "b": f"127.0.0.3:{port}", "c": f"[::1]:{port}"}
        with Fleet(*places, places=places) as fleet:
            yield fleet


def serving(port: int, dns: dict, resolver: NameServer) -> Documents:
    documents = [
        gateway(),
        obj("Upstream", "u", {"targets": [{"host": NAME, "port": port}], "dns": dns}),
        obj("Route", "r", {"backends": [{"kind": "Upstream", "name": "u"}]}),
    ]
    return Documents(*documents, resolver=resolver)


def answers(served: Documents, count: int = 20) -> dict[str, int]:
    return dict(tally(ask(served.port, same(count, "/"))))


def test_strictly_every_address_of_a_name_is_a_target(fleet: Fleet) -> None:
    with (
        NameServer({NAME: ["127.0.0.2", "127.0.0.3"]}) as names,
        serving(fleet["a"].port, {}, names) as served,
    ):
        assert answers(served) == {"a": 10, "b": 10}


def test_logically_connections_go_to_the_first_address(fleet: Fleet) -> None:
    with (
        NameServer({NAME: ["127.0.0.2", "127.0.0.3"]}) as names,
        serving(fleet["a"].port, {"discovery": "Logical"}, names) as served,
    ):
        assert len(answers(served)) == 1


@pytest.mark.parametrize("discovery", ["Strict", "Logical"])
def test_new_addresses_of_a_name_are_followed(fleet: Fleet, discovery: str) -> None:
    dns = {"discovery": discovery, "refresh": "1s", "respectTtl": False}
    with (
        NameServer({NAME: ["127.0.0.2"]}) as names,
        serving(fleet["a"].port, dns, names) as served,
    ):
        assert answers(served) == {"a": 20}
        names.names[NAME] = ["127.0.0.3"]
        # an open connection to the old address may stay, so each request has one of its own
        eventually(lambda: answers(served, 1) == {"b": 1}, what="the new address is used")


@pytest.mark.parametrize(("ttl", "most", "least"), [(1, 1000, 3), (3600, 1, 1)])
def test_the_time_to_live_of_an_answer_says_when_to_ask_again(
    fleet: Fleet, ttl: int, most: int, least: int
) -> None:
    """Beside a name that is asked for every second, to know that time has passed."""
    with (
        NameServer({NAME: ["127.0.0.2"]}, ttl=ttl) as names,
        NameServer({NAME: ["127.0.0.2"]}, ttl=ttl) as often,
        serving(fleet["a"].port, {"refresh": "1s", "family": "V4Only"}, names),
        serving(fleet["a"].port, {"refresh": "1s", "family": "V4Only", "respectTtl": False}, often),
    ):
        eventually(
            lambda: often.asked >= 4 and names.asked >= least,
            what="three seconds pass, and it is asked as often as it may be kept",
        )
        assert names.asked <= most


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("V4Only", {"a"}),
        ("V6Only", {"c"}),
        ("V4Preferred", {"a"}),
        ("V6Preferred", {"c"}),
        ("All", {"a", "c"}),
    ],
)
def test_the_family_of_addresses_is_a_choice(fleet: Fleet, family: str, expected: set[str]) -> None:
    with (
        NameServer({NAME: ["127.0.0.2", "::1"]}) as names,
        serving(fleet["a"].port, {"family": family}, names) as served,
    ):
        assert set(answers(served)) == expected


def test_a_name_that_nobody_knows_answers_503_and_is_looked_up_again(fleet: Fleet) -> None:
    with NameServer({}) as names, serving(fleet["a"].port, {"refresh": "1s"}, names) as served:
        assert answers(served) == {"503": 20}
        names.names[NAME] = ["127.0.0.2"]
        eventually(lambda: answers(served) == {"a": 20}, what="the name is known")


def test_an_ipv6_address_is_a_target_like_any_other() -> None:
    with Fleet("six", places={"six": "[::1]:0"}) as fleet:
        documents = [
            gateway(),
            obj("Upstream", "u", {"targets": fleet.targets()}),
            obj("Route", "r", {"matches": [{"path": {"value": "/u"}}],
                               "backends": [{"kind": "Upstream", "name": "u"}]}),
            obj("Route", "url", {"matches": [{"path": {"value": "/url"}}],
                                 "backends": [{"url": f"http://[::1]:{fleet['six'].port}"}]}),
        ]  # fmt: skip
        with Documents(*documents) as served:
            for path in ("/u", "/url"):
                assert tally(ask(served.port, same(10, path))) == {"six": 10}


def test_a_unix_socket_in_an_open_folder_is_a_target_with_checks_and_weights(
    tmp_path: Path,
) -> None:
    socket = str(tmp_path / "app.sock")
    check = {"interval": "50ms", "unhealthyThreshold": 1, "healthyThreshold": 1}
    with Fleet("socket", "port", places={"socket": socket}) as fleet:
        spec = {"targets": fleet.targets(), "healthChecks": {"active": check}}
        documents = [
            gateway(upstreamSockets=[str(tmp_path)]),
            obj("Upstream", "u", spec),
            obj("Route", "r", {"backends": [{"kind": "Upstream", "name": "u"}]}),
        ]
        with Documents(*documents) as served:
            eventually(lambda: answers(served) == {"socket": 10, "port": 10}, what="both serve")
            fleet["socket"].status = 500
            eventually(lambda: answers(served) == {"port": 20}, what="the socket is out")


def test_a_socket_in_any_other_folder_is_out_of_reach(tmp_path: Path) -> None:
    with Fleet("socket", places={"socket": str(tmp_path / "admin.sock")}) as fleet:
        to = [{"kind": "Upstream", "name": "u"}]
        documents = [
            gateway(upstreamSockets=["/run/apps"]),
            obj("Upstream", "u", {"targets": fleet.targets()}),
            obj("Backend", "b", {"upstream": "u"}),
            obj("Route", "direct", {"backends": to}),
            obj("Route", "mirrored", {"mirror": {"backend": to[0]}, "backends": [{"name": "b"}]}),
        ]
        with Documents(*documents) as served:
            for name in ("direct", "mirrored"):
                condition = served.condition("Route", name)
                assert not condition.status
                assert str(tmp_path) in condition.message
            assert set(answers(served)) == {"404"}
        assert fleet["socket"].count == 0
