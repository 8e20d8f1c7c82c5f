"""Keys that may only be used from some addresses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.keygateway import KeyGateway, api_key, gateway, route

from fluxgate.ir import KeyAuth

pytestmark = pytest.mark.envoy

BLOCKS: dict[str, tuple[str, ...]] = {
    "v4": ("10.1.0.0/16", "192.0.2.7/32"),
    "v4odd": ("172.16.0.0/13",),
    "v6": ("2001:db8:1::/48", "2001:db8:2::7/128"),
    "any4": ("0.0.0.0/0",),
    "any6": ("::/0",),
    "mapped": ("::ffff:10.1.0.0/112",),
    "unreadable": ("10.0.0.0/99",),
    "everywhere": (),
}


def key(name: str) -> str:
    return f"sk_test_{name}"


@pytest.fixture(scope="module")
def proxy() -> Iterator[KeyGateway]:
    keys = [api_key(key(name), name, allowed_cidrs=blocks) for name, blocks in BLOCKS.items()]
    with KeyGateway(gateway(keys), [route("/", KeyAuth())], trusted_hops=1) as running:
        yield running


@pytest.mark.parametrize(
    ("name", "address", "allowed"),
    [
        ("v4", "10.1.2.3", True),
        ("v4", "10.1.255.255", True),
        ("v4", "10.2.0.0", False),
        ("v4", "10.0.255.255", False),
        ("v4", "192.0.2.7", True),
        ("v4", "192.0.2.6", False),
        ("v4", "2001:db8:1::1", False),
        ("v4", "::ffff:10.1.2.3", True),
        ("v4", "::ffff:a01:203", True),
        ("v4", "::ffff:10.2.2.3", False),
        ("v4", "::10.1.2.3", False),
        ("v4odd", "172.23.255.255", True),
        ("v4odd", "172.24.0.0", False),
        ("v6", "2001:db8:1::1", True),
        ("v6", "2001:db8:1:ffff:ffff:ffff:ffff:ffff", True),
        ("v6", "2001:0DB8:0001:0:0:0:0:1", True),
        ("v6", "2001:db8:2::7", True),
        ("v6", "2001:db8:2::8", False),
        ("v6", "2001:db8::1", False),
        ("v6", "10.1.2.3", False),
        ("any4", "203.0.113.9", True),
        ("any4", "2001:db8::1", False),
        ("any6", "2001:db8::1", True),
        ("any6", "203.0.113.9", True),
        ("mapped", "10.1.9.9", True),
        ("mapped", "10.2.9.9", False),
        ("unreadable", "10.0.0.1", False),
        ("everywhere", "203.0.113.9", True),
        ("everywhere", "2001:db8::1", True),
    ],
)
def test_a_key_works_from_its_addresses_only(
    proxy: KeyGateway, name: str, address: str, allowed: bool
) -> None:
    answer = proxy.key(key(name), "/", [("x-forwarded-for", address)])
    assert answer.status == (200 if allowed else 403)
    if not allowed:
        assert answer.body == b"The API key may not be used from this address."
        assert answer.header("www-authenticate") is None


def test_without_a_trusted_proxy_the_header_does_not_choose_the_address() -> None:
    keys = [
        api_key(key("v4"), "v4", allowed_cidrs=BLOCKS["v4"]),
        api_key(key("loop"), "loop", allowed_cidrs=("127.0.0.0/8",)),
    ]
    with KeyGateway(gateway(keys), [route("/", KeyAuth())]) as running:
        forged = [("x-forwarded-for", "10.1.2.3")]
        assert running.key(key("v4"), "/", forged).status == 403
        assert running.key(key("loop"), "/", forged).status == 200


def test_a_listener_for_both_families_sees_ipv4_clients_as_such() -> None:
    keys = [api_key(key("loop"), "loop", allowed_cidrs=("127.0.0.1/32",))]
    with KeyGateway(gateway(keys), [route("/", KeyAuth())], address="::") as running:
        assert running.key(key("loop")).status == 200
