"""Tokens that must not pass: confused algorithms, keys of the attacker, times, and forged parts."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from support.security import World
from support.tokens import Issuer, base64url, new_key, unsigned

pytestmark = pytest.mark.envoy

Forge = Callable[[Issuer], str]
FOREIGN = Issuer(kid="main")
"""Says the same of itself, and has another key."""
PUBLIC_FORMS = {
    "pem": (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    "pkcs1": (serialization.Encoding.PEM, serialization.PublicFormat.PKCS1),
    "der": (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
}


def _public(issuer: Issuer, form: str) -> bytes:
    assert isinstance(issuer.key, rsa.RSAPrivateKey)
    if form in PUBLIC_FORMS:
        return issuer.key.public_key().public_bytes(*PUBLIC_FORMS[form])
    if form == "pem-stripped":
        return _public(issuer, "pem").strip()
    if form == "modulus":
        return issuer.key.public_key().public_numbers().n.to_bytes(256)
    if form == "n":
        return str(issuer.jwk()["n"]).encode()
    if form == "jwk":
        return json.dumps(issuer.jwk()).encode()
    return b""


def _hmac(issuer: Issuer, secret: bytes, alg: str = "HS256", **header: Any) -> str:
    """PyJWT refuses to sign with a public key, so this is done by hand."""
    signed = unsigned({"alg": alg, "typ": "JWT", "kid": issuer.kid, **header}, issuer.claims())[:-1]
    digest = getattr(hashlib, f"sha{alg[2:]}")
    return f"{signed}.{base64url(hmac.new(secret, signed.encode(), digest).digest())}"


def _with_key_of(foreign: Issuer, **header: Any) -> Forge:
    return lambda issuer: jwt.encode(
        issuer.claims(),
        foreign.key,  # type: ignore[arg-type]
        foreign.alg,
        {"kid": issuer.kid, **header},
    )


def _header(**header: Any) -> Forge:
    """A good signature over a header that says something else."""

    def forge(issuer: Issuer) -> str:
        good = issuer.token(header=header) if "alg" not in header else None
        if good is not None:
            return good
        _, claims, signature = issuer.token().split(".")
        return f"{base64url(json.dumps(header).encode())}.{claims}.{signature}"

    return forge


def _none(alg: str, signature: str = "") -> Forge:
    return lambda issuer: unsigned({"alg": alg, "typ": "JWT"}, issuer.claims(), signature)


def _tampered(part: int, change: Callable[[str], str]) -> Forge:
    def forge(issuer: Issuer) -> str:
        parts = issuer.token().split(".")
        parts[part] = change(parts[part])
        return ".".join(parts)

    return forge


def _claims(**claims: Any) -> Forge:
    return lambda issuer: issuer.token(**claims)


def _other_subject(text: str) -> str:
    return (
        base64url(json.dumps({"iss": "https://id.example.com/", "sub": "root"}).encode()) + text[:0]
    )


NOW = int(time.time())
LATER = NOW + 86_400
"""After the last test, which runs long after this is read."""
CONFUSED: dict[str, Forge] = {
    **{f"alg {alg}": _none(alg) for alg in ("none", "None", "NONE", "nOnE", "")},
    "alg none with a signature": lambda issuer: _none("none", issuer.token().split(".")[2])(issuer),
    "no alg": lambda issuer: unsigned({"typ": "JWT"}, issuer.claims(), "AAAA"),
    **{
        f"{alg} with the public key as {form}": (
            lambda issuer, form=form, alg=alg: _hmac(issuer, _public(issuer, form), alg)
        )
        for form in (*PUBLIC_FORMS, "pem-stripped", "modulus", "n", "jwk", "empty")
        for alg in ("HS256", "HS384", "HS512")
    },
    "PS256 with a key for RS256": lambda issuer: issuer.token(alg="PS256"),
    "RS512 with a key for RS256": lambda issuer: issuer.token(alg="RS512"),
    "alg in lower case": _header(alg="rs256", kid="main"),
    "alg as a list": _header(alg=["RS256"], kid="main"),
    "alg for another kind of key": _header(alg="ES256", kid="main"),
    "the header compressed": _header(zip="DEF", crit=["zip"]),
}
KEYS: dict[str, Forge] = {
    "a foreign key with our kid": _with_key_of(FOREIGN),
    "a foreign key without kid": lambda issuer: jwt.encode(issuer.claims(), FOREIGN.key, "RS256"),  # type: ignore[arg-type]
    "a foreign key in the header": _with_key_of(FOREIGN, jwk=FOREIGN.jwk()),
    "a key set of the attacker": _with_key_of(FOREIGN, jku="https://evil.example.com/jwks.json"),
    "a certificate of the attacker": _with_key_of(FOREIGN, x5u="https://evil.example.com/c.pem"),
    "a certificate in the header": _with_key_of(FOREIGN, x5c=["MIIB"]),
    "an unknown kid": _header(kid="other"),
    **{
        f"kid {kid!r}": (
            lambda issuer, kid=kid: _hmac(issuer, b"", "HS256", kid=kid)
        )
        for kid in (
            "../../../../dev/null", "/dev/null", "' UNION SELECT 'x'--", "main\x00", "|sleep 1",
            "http://127.0.0.1/", "", ["main"], {"$ne": ""}, 0, None, "k" * 4096,
        )
    },
    "the key of the other issuer": lambda issuer: Issuer(
        "https://ec.example.com", "RS256", "ec", issuer.key
    ).token(),
}  # fmt: skip
TIMES: dict[str, Forge] = {
    "expired": _claims(exp=NOW - 60),
    "not yet valid": _claims(nbf=LATER),
    "exp 0": _claims(exp=0),
    "a negative exp": _claims(exp=-1),
    "exp as text": _claims(exp=str(LATER)),
    "exp as a list": _claims(exp=[LATER]),
    "exp false": _claims(exp=False),
    "without exp": _claims(exp=None),
    "nbf as text": _claims(nbf="0"),
    "nbf far away": _claims(nbf=2**53),
}
CLAIMS: dict[str, Forge] = {
    "another audience": _claims(aud="https://other.example.com"),
    "an audience that ours begins": _claims(aud="https://api.example.com.evil.example.com"),
    "without audience": _claims(aud=None),
    "an audience that is a number": _claims(aud=1),
    "an audience that is an object": _claims(aud={"https://api.example.com": True}),
    "another issuer": _claims(iss="https://evil.example.com/"),
    "an issuer in capitals": _claims(iss="HTTPS://ID.EXAMPLE.COM/"),
    "an issuer without its slash": _claims(iss="https://id.example.com"),
    "without issuer": _claims(iss=None),
    "without subject": _claims(sub=None),
    "an empty subject": _claims(sub=""),
    "a subject that is an object": _claims(sub={"a": 1}),
    "a subject of 300 characters": _claims(sub="s" * 300),
    "a tenant of 300 characters": _claims(tenant="t" * 300),
    "scopes without end": _claims(scope=" ".join(f"scope-{n}" for n in range(1000))),
    "critical parameters": _header(crit=["exp"], exp=LATER),
    "an unencoded payload": _header(b64=False, crit=["b64"]),
}
FORMS: dict[str, Forge] = {
    "another payload": _tampered(1, _other_subject),
    "a changed header": _tampered(0, lambda text: base64url(b'{"alg":"RS256","kid":"main","x":1}')),
    "a changed signature": _tampered(2, lambda text: ("B" if text[0] == "A" else "A") + text[1:]),
    "a cut signature": _tampered(2, lambda text: text[:-8]),
    "no signature": _tampered(2, lambda _text: ""),
    "a doubled signature": _tampered(2, lambda text: text + text),
    "a payload that is no JSON": _tampered(1, lambda _text: base64url(b"{")),
    "a payload that is a list": _tampered(1, lambda _text: base64url(b"[]")),
    "two parts": lambda issuer: issuer.token().rpartition(".")[0],
    "four parts": lambda issuer: issuer.token() + ".AAAA",
    "five parts, as if encrypted": lambda issuer: ".".join(["e30"] * 5),
    "serialised as JSON": lambda issuer: json.dumps({"payload": "e30", "signatures": []}),
    "quoted": lambda issuer: f'"{issuer.token()}"',
    "with a space inside": lambda issuer: issuer.token().replace(".", ". ", 1),
    "with a line break, escaped": lambda issuer: issuer.token().replace(".", "%0a.", 1),
    "in the standard alphabet of base64": _tampered(2, lambda text: "+/" + text[2:]),
    "followed by another": lambda issuer: f"{issuer.token()} {issuer.token(sub='root')}",
    "a name instead": lambda _issuer: "alice",
    "nothing but dots": lambda _issuer: "..",
    "nested": lambda issuer: jwt.encode({"token": issuer.token()}, "x" * 32, "HS256"),
    "very long": lambda issuer: issuer.token() + "A" * 40_000,
}
TABLE = {**CONFUSED, **KEYS, **TIMES, **CLAIMS, **FORMS}


@pytest.mark.parametrize("case", TABLE)
def test_a_bad_token_is_refused_and_nothing_reaches_the_upstream(
    world: World, rsa_issuer: Issuer, case: str
):
    token = TABLE[case](rsa_issuer)
    for path in ("/tokens", "/private", "/optional"):
        answer = world.get(path, [("authorization", f"Bearer {token}")])
        assert answer.status in (401, 403), (path, answer.body)
        assert set(answer.json()) == {"error", "message", "request_id"}
        assert rsa_issuer.token()[:30] not in answer.body.decode()
    assert world.seen() == []


@pytest.mark.parametrize(
    "signature",
    [
        b"\0" * 64,
        b"\0" * 32 + b"\x01" + b"\0" * 31,
        b"\xff" * 64,
        b"",
        b"\0",
        b"\0" * 63,
        encode_dss_signature(1, 1),
        encode_dss_signature(0, 0),
    ],
    ids=lambda raw: raw.hex()[:20] or "empty",
)
def test_degenerate_signatures_of_elliptic_curves_verify_nothing(
    world: World, ec_issuer: Issuer, signature: bytes
):
    token = unsigned(
        {"alg": "ES256", "kid": ec_issuer.kid}, ec_issuer.claims(), base64url(signature)
    )
    assert world.get("/tokens", [("authorization", f"Bearer {token}")]).status == 401
    assert world.seen() == []


def test_the_table_is_about_what_is_wrong_in_it(
    world: World, rsa_issuer: Issuer, ec_issuer: Issuer
):
    for path in ("/tokens", "/private", "/optional"):
        for issuer in (rsa_issuer, ec_issuer):
            answer = world.get(path, [issuer.bearer()])
            assert (answer.status, answer.echoed("x-auth-subject")) == (200, ["alice"])
            assert world.get(path, [issuer.bearer(nbf=NOW - 10, iat=NOW)]).status == 200


def test_an_issuers_token_is_not_taken_under_the_name_of_another(
    world: World, rsa_issuer: Issuer, ec_issuer: Issuer
):
    pretending = Issuer(rsa_issuer.name, "ES256", "ec", ec_issuer.key)
    assert world.get("/tokens", [pretending.bearer()]).status == 401


def test_a_token_signed_with_a_weak_shared_secret_is_no_token(world: World, rsa_issuer: Issuer):
    for secret in (b"secret", b"", new_key("HS256")):
        assert isinstance(secret, bytes)
        token = _hmac(rsa_issuer, secret)
        assert world.get("/tokens", [("authorization", f"Bearer {token}")]).status == 401
