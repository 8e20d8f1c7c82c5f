"""The key table as Lua source."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from support.keygateway import api_key

from fluxgate.ir import ApiKeyTable
from fluxgate.xds.httpfilters.api_key_auth import lua_source
from fluxgate.xds.httpfilters.key_table import (
    MATCHES_NOTHING,
    RECORD_WIDTH,
    encode_block,
    encode_keys,
    encode_value,
)

hostile = st.text(max_size=60) | st.sampled_from(
    [
        "]==]",
        "]==]\nos.exit()",
        "a|b",
        "a\nb",
        "a\r\nx-evil: 1",
        "\0",
        "%00",
        "--[[",
        "a b",
        "\udc80",
    ]
)


@given(text=hostile)
def test_no_value_leaves_the_safe_alphabet(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_.:@/+=~*%-]*", encode_value(text))


@given(one=hostile, other=hostile)
def test_two_values_never_become_one(one: str, other: str) -> None:
    assert (encode_value(one) == encode_value(other)) == (one == other)


def test_the_values_of_validated_resources_stay_as_they_are() -> None:
    for value in ("acme-1.eu", "routes:*", "user@example.com", "a/b+c=d~e_F"):
        assert encode_value(value) == value


@given(texts=st.lists(hostile, min_size=9, max_size=9))
def test_a_hostile_value_cannot_break_out_of_the_lua_string(texts: list[str]) -> None:
    key = api_key(
        "k",
        texts[0],
        tenant=texts[1],
        workspace=texts[2],
        subject=texts[3],
        role=texts[4],
        audience=texts[5],
        plan=texts[6],
        scopes=(texts[7],),
        allowed_cidrs=(texts[8],),
    )
    source = lua_source(ApiKeyTable((texts[0],), (key,)))
    harmless = lua_source(ApiKeyTable(("p",), (api_key("k"),)))
    attributes = source.partition("local ATTRIBUTES = [==[\n")[2].partition("]==]")[0]
    assert attributes.count("\n") == 1
    assert attributes.count("|") == 9
    assert source.count("]==]") == harmless.count("]==]")
    assert source.count("\n") == harmless.count("\n")


def test_records_have_one_width_and_are_sorted_by_digest() -> None:
    index, _, count = encode_keys([api_key(f"key-{i}", f"id-{i}") for i in range(50)])
    records = [index[at : at + RECORD_WIDTH] for at in range(0, len(index), RECORD_WIDTH)]
    assert count == len(records) == 50
    assert records == sorted(records)


def test_every_record_points_at_its_own_line() -> None:
    keys = {key.sha256: key for key in (api_key(f"key-{i}", f"id-{i}") for i in range(50))}
    index, attributes, _ = encode_keys(keys.values())
    for at in range(0, len(index), RECORD_WIDTH):
        offset = int(index[at + 64 : at + RECORD_WIDTH], 16)
        line = attributes[offset:].partition("\n")[0]
        assert line.startswith(keys[index[at : at + 64]].key_id + "|")


def test_the_order_of_the_keys_does_not_matter() -> None:
    keys = [api_key(f"key-{i}", f"id-{i}") for i in range(20)]
    assert encode_keys(keys) == encode_keys(reversed(keys))


def test_the_first_of_two_keys_with_one_digest_stays() -> None:
    _, attributes, count = encode_keys([api_key("same", "first"), api_key("same", "second")])
    assert count == 1
    assert attributes.startswith("first|")


def test_a_key_without_a_digest_is_not_in_the_table() -> None:
    broken = [replace(api_key("k"), sha256=digest) for digest in ("", "ab", "Z" * 64, "A" * 64)]
    assert encode_keys(broken) == ("", "", 0)


def test_the_subject_is_the_key_itself_when_none_is_set() -> None:
    _, attributes, _ = encode_keys([api_key("k", "key-7")])
    assert attributes.split("|")[3] == "key-7"


@given(address=st.ip_addresses(), length=st.integers(0, 32))
def test_a_block_is_the_network_of_its_ipv6_form(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int
) -> None:
    network = ipaddress.ip_network(f"{address}/{length}", strict=False)
    digits, _, bits = encode_block(str(network)).partition("/")
    block = ipaddress.IPv6Network((int(digits, 16), int(bits)))
    inside = network.network_address
    if inside.version == 4:
        inside = ipaddress.ip_address(f"::ffff:{inside}")
    assert block.network_address == inside
    assert 128 - block.prefixlen == network.max_prefixlen - network.prefixlen


def test_a_text_that_is_no_block_matches_nothing() -> None:
    assert encode_block("10.0.0.0/99") == MATCHES_NOTHING
    assert encode_block("") == MATCHES_NOTHING
