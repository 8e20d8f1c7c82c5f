"""The form of API keys."""

from __future__ import annotations

import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxgate.apikeys import DEFAULT_PREFIXES, KeyFormat, digest, mint, parse
from fluxgate.apikeys.format import ALPHABET
from fluxgate.errors import ApiKeyFormatError

RANDOM = bytes(range(20))
prefixes = st.sampled_from(DEFAULT_PREFIXES)
randomness = st.binary(min_size=20, max_size=48)


@given(prefix=prefixes, random_bytes=randomness)
def test_a_minted_key_parses_into_its_prefix_and_last_four(
    prefix: str, random_bytes: bytes
) -> None:
    key = mint(prefix, random_bytes)
    parsed = parse(key)
    assert parsed.prefix == prefix
    assert parsed.last_four == key[-4:]


@given(prefix=prefixes, one=randomness, other=randomness)
def test_different_randomness_makes_different_keys(prefix: str, one: bytes, other: bytes) -> None:
    assert (mint(prefix, one) == mint(prefix, other)) == (one == other)


@given(random_bytes=st.binary(min_size=20, max_size=20))
def test_the_body_holds_all_160_bits(random_bytes: bytes) -> None:
    body = mint("sk_live_", random_bytes)[len("sk_live_") : -6]
    number = 0
    for character in body:
        number = number * 62 + ALPHABET.index(character)
    assert number.to_bytes(20) == random_bytes


def test_keys_of_one_prefix_have_one_length() -> None:
    keys = {len(mint("flx_live_", bytes([value] * 20))) for value in (0, 1, 127, 255)}
    assert keys == {len("flx_live_") + 27 + 6}


def test_the_checksum_is_the_base62_crc32_of_what_is_in_front_of_it() -> None:
    key = mint("flc_anon_", RANDOM)
    number = 0
    for character in key[-6:]:
        number = number * 62 + ALPHABET.index(character)
    assert number == zlib.crc32(key[:-6].encode())


@given(random_bytes=randomness, data=st.data())
def test_one_wrong_character_is_called_a_typing_mistake(
    random_bytes: bytes, data: st.DataObject
) -> None:
    key = mint("flc_service_", random_bytes)
    at = data.draw(st.integers(len("flc_service_"), len(key) - 1))
    wrong = data.draw(st.sampled_from(ALPHABET).filter(lambda each: each != key[at]))
    with pytest.raises(ApiKeyFormatError, match="mistyped"):
        parse(key[:at] + wrong + key[at + 1 :])


def test_an_unknown_prefix_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ApiKeyFormatError, match="known prefixes: flc_anon_, flc_service_"):
        parse("ghp_" + "a" * 40)


def test_a_short_key_is_called_cut_off() -> None:
    with pytest.raises(ApiKeyFormatError, match="cut off"):
        parse(mint("sk_test_", RANDOM)[:-3])


@pytest.mark.parametrize("stray", [" ", "\n", '"', ",", "é", "\udc80"])
def test_a_stray_character_is_named_as_such(stray: str) -> None:
    with pytest.raises(ApiKeyFormatError, match="letters and digits"):
        parse(mint("sk_test_", RANDOM) + stray)


@given(secret=st.text(alphabet=ALPHABET + "-_ ", min_size=8, max_size=80))
def test_messages_never_hold_the_key(secret: str) -> None:
    with pytest.raises(ApiKeyFormatError) as refused:
        parse("flc_anon_" + secret + "!")
    assert secret not in str(refused.value)


def test_the_longest_matching_prefix_wins() -> None:
    key = mint("sk_live_eu_", RANDOM)
    assert parse(key, ("sk_live_", "sk_live_eu_")).prefix == "sk_live_eu_"


def test_fewer_than_160_random_bits_are_refused() -> None:
    with pytest.raises(ApiKeyFormatError, match="20 random bytes"):
        mint("sk_live_", bytes(19))


@pytest.mark.parametrize("prefix", ["", "sk", "SK_", "sk-live_", "_", "a_b_c_d_", "sk_live", "1k_"])
def test_a_malformed_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(ApiKeyFormatError, match="not a key prefix"):
        mint(prefix, RANDOM)
    with pytest.raises(ApiKeyFormatError, match="not a key prefix"):
        KeyFormat((prefix,))


def test_a_format_mints_and_parses_only_its_own_prefixes() -> None:
    form = KeyFormat(("acme_",))
    assert form.parse(form.mint("acme_", RANDOM)).prefix == "acme_"
    with pytest.raises(ApiKeyFormatError, match="known prefixes: acme_"):
        form.mint("sk_live_", RANDOM)
    with pytest.raises(ApiKeyFormatError, match="known prefixes: acme_"):
        form.parse(mint("sk_live_", RANDOM))


@given(key=st.text(alphabet=ALPHABET))
def test_the_digest_is_the_sha256_in_hexadecimal(key: str) -> None:
    assert digest(key) == hashlib.sha256(key.encode()).hexdigest()
