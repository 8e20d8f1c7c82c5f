"""The signature, without a server: what it covers, and what it does not take."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxgate.secret import SecretBytes
from fluxgate_admin.auth.signature import (
    Signature,
    SignatureFormatError,
    SignedContent,
    genuine,
    read_signature,
    sign,
)

SECRET = SecretBytes(b"fss_test")
CONTENT = SignedContent("POST", "/v2/routes", "wait=all", b'{"name":"orders"}')
NONCE = "n" * 16


def test_the_signature_is_that_of_the_documented_text() -> None:
    body = hashlib.sha256(CONTENT.body).hexdigest()
    text = f"v1\nPOST\n/v2/routes\nwait=all\n{body}\n1700000000\n{NONCE}"
    expected = hmac.new(b"fss_test", text.encode(), hashlib.sha256).hexdigest()
    assert sign(SECRET, CONTENT, 1700000000, NONCE).value == f"v1={expected}"


def test_a_signature_survives_its_way_through_headers() -> None:
    signature = sign(SECRET, CONTENT, 1700000000, NONCE)
    read = read_signature([(name.title(), text) for name, text in signature.headers().items()])
    assert read == signature
    assert genuine(SECRET, CONTENT, signature)


@pytest.mark.parametrize(
    "other",
    [
        SignedContent("PUT", "/v2/routes", "wait=all", CONTENT.body),
        SignedContent("POST", "/v2/routes/", "wait=all", CONTENT.body),
        SignedContent("POST", "/v2/%72outes", "wait=all", CONTENT.body),
        SignedContent("POST", "/v2/routes", "wait=none", CONTENT.body),
        SignedContent("POST", "/v2/routes", "", CONTENT.body),
        SignedContent("POST", "/v2/routes?wait=all", "", CONTENT.body),
        SignedContent("POST", "/v2/routes", "wait=all", CONTENT.body + b" "),
    ],
    ids=["method", "path", "spelling of the path", "query", "no query", "moved query", "body"],
)
def test_a_signature_is_over_every_part(other: SignedContent) -> None:
    assert not genuine(SECRET, other, sign(SECRET, CONTENT, 1700000000, NONCE))


def test_timestamp_and_nonce_are_signed() -> None:
    made = sign(SECRET, CONTENT, 1700000000, NONCE)
    assert not genuine(SECRET, CONTENT, Signature("1700000001", NONCE, made.value))
    assert not genuine(SECRET, CONTENT, Signature(made.timestamp, "m" * 16, made.value))


def test_a_line_break_in_the_target_makes_no_other_request() -> None:
    with pytest.raises(SignatureFormatError):
        sign(SECRET, SignedContent("POST", "/v2\n/x", "", b""), 1, NONCE)


GOOD = {
    "x-fluxgate-timestamp": "1700000000",
    "x-fluxgate-nonce": NONCE,
    "x-fluxgate-signature": "v1=" + "0" * 64,
}


def test_no_header_at_all_is_no_signature() -> None:
    assert read_signature([("content-type", "application/json")]) is None


@pytest.mark.parametrize("missing", list(GOOD))
def test_a_part_of_a_signature_is_an_error(missing: str) -> None:
    with pytest.raises(SignatureFormatError, match=missing):
        read_signature([item for item in GOOD.items() if item[0] != missing])


@pytest.mark.parametrize("twice", list(GOOD))
def test_a_header_that_occurs_twice_is_an_error(twice: str) -> None:
    with pytest.raises(SignatureFormatError, match=twice):
        read_signature([*GOOD.items(), (twice, GOOD[twice])])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-fluxgate-timestamp", "-1"),
        ("x-fluxgate-timestamp", "1.5"),
        ("x-fluxgate-timestamp", "1e9"),
        ("x-fluxgate-timestamp", " 1700000000"),
        ("x-fluxgate-timestamp", "\u0661" * 10),
        ("x-fluxgate-timestamp", "9" * 13),
        ("x-fluxgate-nonce", "short"),
        ("x-fluxgate-nonce", "n" * 65),
        ("x-fluxgate-nonce", "n" * 15 + "\n"),
        ("x-fluxgate-nonce", "n" * 15 + "é"),
        ("x-fluxgate-signature", "v1=" + "0" * 63),
        ("x-fluxgate-signature", "v1=" + "0" * 65),
        ("x-fluxgate-signature", "v1=" + "A" * 64),
        ("x-fluxgate-signature", "v2=" + "0" * 64),
        ("x-fluxgate-signature", "0" * 64),
        ("x-fluxgate-signature", "v1="),
    ],
)
def test_another_form_is_an_error_that_names_the_header(name: str, value: str) -> None:
    with pytest.raises(SignatureFormatError, match=name):
        read_signature((GOOD | {name: value}).items())


_LINE = st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=20)
_PARTS = st.tuples(_LINE, _LINE, st.binary(max_size=20))


@given(_PARTS, _PARTS)
def test_different_requests_have_different_signatures(
    one: tuple[str, str, bytes], other: tuple[str, str, bytes]
) -> None:
    first = sign(SECRET, SignedContent("POST", *one), 1, NONCE)
    second = sign(SECRET, SignedContent("POST", *other), 1, NONCE)
    assert (first == second) == (one == other)
