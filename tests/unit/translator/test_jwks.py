"""Key sets are read strictly."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from support.tokens import Issuer, base64url, new_key

from fluxgate.translator.jwks import read_jwks

ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
RS256, ES256, EDDSA, HS256 = (Issuer(alg=alg) for alg in ("RS256", "ES256", "EdDSA", "HS256"))
SMALL = Issuer(key=rsa.generate_private_key(public_exponent=65537, key_size=1024))


def read(*keys: object, secret: bool = False, algorithms: tuple[str, ...] = (*ALGORITHMS, "HS256")):
    document = read_jwks(json.dumps({"keys": keys}).encode(), algorithms, secret=secret)
    return json.loads(document)["keys"]


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_keys_of_every_kind_are_taken(alg):
    issuer = Issuer(alg=alg, key=new_key(alg))
    (key,) = read({**issuer.jwk(), "use": "sig", "x5t": "ignored"})
    assert key == issuer.jwk()


def test_a_symmetric_key_is_taken_from_a_secret_only():
    assert read(HS256.jwk(), secret=True)[0]["kty"] == "oct"
    with pytest.raises(ValueError, match="holds a secret"):
        read(HS256.jwk())


def test_private_parts_are_refused_in_the_open_and_dropped_from_a_secret():
    with pytest.raises(ValueError, match=r"keys\[1\]: holds a secret"):
        read(RS256.jwk(), RS256.jwk(d="AQAB"))
    assert "d" not in read(RS256.jwk(d="AQAB"), secret=True)[0]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("x", "is not an object"),
        ({}, "needs kty"),
        ({"kty": "XYZ"}, "is not known"),
        (RS256.jwk(alg=None), "needs alg"),
        (RS256.jwk(alg="none"), "is none of a key of kty 'RSA'"),
        (RS256.jwk(alg="HS256"), "is none of a key of kty 'RSA'"),
        (RS256.jwk(alg="ES256"), "is none of a key of kty 'RSA'"),
        (HS256.jwk(alg="RS256"), "is none of a key of kty 'oct'"),
        (RS256.jwk(use="enc"), "use is not 'sig'"),
        (RS256.jwk(n="AQAB"), "17 bits"),
        (RS256.jwk(n="***"), "n is not base64url"),
        (RS256.jwk(e="Aw"), None),
        (RS256.jwk(e="BQ"), "e is neither"),
        (RS256.jwk(kid=7), "needs kid, a text"),
        (SMALL.jwk(), "1024 bits; 2048 are the least"),
        (ES256.jwk(crv="P-384"), "needs crv 'P-256'"),
        (ES256.jwk(x=base64url(b"\x01" * 32)), "Point is not on the curve"),
        (EDDSA.jwk(x="AQAB"), "32 bytes"),
        (EDDSA.jwk(crv="X25519"), "crv is not 'Ed25519'"),
    ],
)
def test_what_is_wrong_with_a_key_is_said(key, words):
    if words is None:
        assert read(key)
        return
    with pytest.raises(ValueError, match=r"^keys\[0\]: ") as caught:
        read(key)
    assert words in str(caught.value)


def test_a_short_secret_is_refused():
    short = HS256.jwk(k=base64url(b"x" * 31))
    with pytest.raises(ValueError, match="shorter than the 32 bytes"):
        read(short, secret=True)


def test_a_key_must_be_for_an_algorithm_of_the_provider():
    with pytest.raises(ValueError, match="not among the algorithms"):
        read(RS256.jwk(), algorithms=("ES256",))


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"{}", b'{"keys": {}}', b'{"keys": []}', b"[" * 100_000, b"\xff"]
)
def test_something_else_is_no_key_set(text):
    with pytest.raises(ValueError, match=r'"keys"'):
        read_jwks(text, ALGORITHMS, secret=True)
