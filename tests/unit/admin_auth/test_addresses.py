"""Where a request comes from: whom to believe, and what an allowlist is."""

import pytest

from fluxgate_admin.auth.addresses import (
    LOOPBACK,
    AddressFormatError,
    allowed,
    client_address,
    networks,
    read_address,
)

PROXIES = networks(("10.0.0.0/8", "fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", ["127.0.0.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["127.0.0.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["127.0.0.1", "203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["127.0.0.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["127.0.0.1, unknown"], None),
        ("10.0.0.1", ["127.0.0.1, "], None),
        ("10.0.0.1", ["203.0.113.9:51234"], "203.0.113.9"),
        ("fd00::1", ["[2001:db8::9]:443"], "2001:db8::9"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        (None, ["127.0.0.1"], None),
        ("/run/admin.sock", ["127.0.0.1"], None),
    ],
    ids=[
        "a stranger is not believed",
        "a proxy may call itself",
        "a proxy is believed",
        "what the client wrote before it is not",
        "not in a header of its own either",
        "a chain of proxies",
        "only proxies",
        "an unknown hop hides what is left of it",
        "an empty hop, too",
        "a port",
        "IPv6 with a port",
        "a mapped proxy",
        "a mapped client",
        "no peer",
        "no address",
    ],
)
def test_the_client_is_the_first_nobody_vouches_for(
    peer: str | None, forwarded: list[str], client: str | None
) -> None:
    found = client_address(peer, forwarded, PROXIES)
    assert (None if found is None else str(found)) == client


def test_without_trusted_proxies_only_the_peer_counts() -> None:
    assert str(client_address("127.0.0.1", ["203.0.113.9"], ())) == "127.0.0.1"


@pytest.mark.parametrize("text", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_where_keys_work_by_default(text: str) -> None:
    assert allowed(read_address(text), networks(LOOPBACK))


@pytest.mark.parametrize("text", ["128.0.0.1", "::2", "0.0.0.0", "fe80::1%lo", "127.1", "0x7f.1"])
def test_nothing_else_is_loopback(text: str) -> None:
    assert not allowed(read_address(text), networks(LOOPBACK))


def test_everywhere_is_said_explicitly_for_each_version() -> None:
    everywhere = networks(("0.0.0.0/0",))
    assert allowed(read_address("203.0.113.9"), everywhere)
    assert not allowed(read_address("2001:db8::1"), everywhere)


def test_an_unknown_address_is_allowed_nowhere() -> None:
    assert not allowed(None, networks(("0.0.0.0/0", "::/0")))


@pytest.mark.parametrize(
    "texts",
    [
        (),
        ("10.0.0.1/8",),
        ("",),
        ("host.example.com",),
        ("fe80::%eth0/64",),
        ("1.2.3.4/0",),
        ("::ffff:1.2.3.4",),
        ("10.0.0.0/33",),
        ("10.0.0.0/8",) * 65,
    ],
)
def test_a_list_that_is_none_is_refused(texts: tuple[str, ...]) -> None:
    with pytest.raises(AddressFormatError):
        networks(texts)


def test_the_place_in_the_list_is_told() -> None:
    with pytest.raises(AddressFormatError) as refused:
        networks(("10.0.0.0/8", "nonsense"))
    assert refused.value.index == 1
