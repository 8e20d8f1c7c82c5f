"""JSON Web Key Sets, read strictly: what Envoy gets says for every key what it may be used for.

RFC 7517 (JWK), RFC 7518 (their parameters), RFC 8037 (Ed25519). An algorithm that a key does not
name would be the token's to choose.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

SYMMETRIC = ("HS256", "HS384", "HS512")
_FAMILIES: dict[str, tuple[str, ...]] = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
    "oct": SYMMETRIC,
}
_CURVES: dict[str, tuple[str, ec.EllipticCurve]] = {
    "ES256": ("P-256", ec.SECP256R1()),
    "ES384": ("P-384", ec.SECP384R1()),
    "ES512": ("P-521", ec.SECP521R1()),
}
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi")
_MIN_RSA_BITS = 2048
_EXPONENTS = (3, 65537)
_ED25519_BYTES = 32
_MAX_KEYS = 100


@lru_cache(maxsize=256)
def read_jwks(text: bytes, algorithms: tuple[str, ...], *, secret: bool) -> bytes:
    """The key set ``text`` with nothing but what verification needs.

    Every key must name one of ``algorithms``. With ``secret`` it may hold symmetric keys.
    Raises ``ValueError`` with what is wrong. Remembered, because every route of a Plugin asks.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError('is not JSON; a key set reads {"keys": [...]}') from None
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not 1 <= len(keys) <= _MAX_KEYS:
        raise ValueError(f'needs "keys", a list of 1 to {_MAX_KEYS} keys')
    made = []
    for index, key in enumerate(keys):
        try:
            made.append(_read_key(key, algorithms, secret=secret))
        except ValueError as error:
            raise ValueError(f"keys[{index}]: {error}") from None
    return json.dumps({"keys": made}, sort_keys=True).encode()


def _read_key(key: object, algorithms: Collection[str], *, secret: bool) -> dict[str, str]:
    if not isinstance(key, dict):
        raise ValueError("is not an object")  # noqa: TRY004 - the document is wrong, not the program
    kty, alg = _text(key, "kty"), key.get("alg")
    if kty not in _FAMILIES:
        raise ValueError(f"kty {kty!r} is not known; known: {', '.join(_FAMILIES)}")
    if not isinstance(alg, str):
        raise ValueError(f"needs alg, one of {', '.join(_FAMILIES[kty])}")  # noqa: TRY004
    if alg not in _FAMILIES[kty]:
        raise ValueError(f"alg {alg!r} is none of a key of kty {kty!r}")
    if alg not in algorithms:
        raise ValueError(f"alg {alg!r} is not among the algorithms of the provider")
    if key.get("use", "sig") != "sig":
        raise ValueError("use is not 'sig'; leave keys for other uses out")
    if not secret and (kty == "oct" or any(name in key for name in _PRIVATE)):
        raise ValueError("holds a secret; put the key set into a Secret and name it by secretRef")
    made = {"kty": kty, "alg": alg, **_READERS[kty](key, alg)}
    if "kid" in key:
        made["kid"] = _text(key, "kid")
    return made


def _read_rsa(key: Mapping[str, Any], _alg: str) -> dict[str, str]:
    modulus, exponent = _number(key, "n"), _number(key, "e")
    if exponent not in _EXPONENTS:
        raise ValueError("e is neither 3 nor 65537")
    if modulus.bit_length() < _MIN_RSA_BITS:
        raise ValueError(f"n has {modulus.bit_length()} bits; {_MIN_RSA_BITS} are the least")
    rsa.RSAPublicNumbers(exponent, modulus).public_key()
    return {"n": _text(key, "n").rstrip("="), "e": _text(key, "e").rstrip("=")}


def _read_ec(key: Mapping[str, Any], alg: str) -> dict[str, str]:
    name, curve = _CURVES[alg]
    if _text(key, "crv") != name:
        raise ValueError(f"alg {alg!r} needs crv {name!r}")
    ec.EllipticCurvePublicNumbers(_number(key, "x"), _number(key, "y"), curve).public_key()
    return {
        "crv": name,
        "x": _text(key, "x").rstrip("="),
        "y": _text(key, "y").rstrip("="),
    }


def _read_okp(key: Mapping[str, Any], _alg: str) -> dict[str, str]:
    if _text(key, "crv") != "Ed25519":
        raise ValueError("crv is not 'Ed25519'")
    if len(_bytes(key, "x")) != _ED25519_BYTES:
        raise ValueError(f"x does not have {_ED25519_BYTES} bytes")
    ed25519.Ed25519PublicKey.from_public_bytes(_bytes(key, "x"))
    return {"crv": "Ed25519", "x": _text(key, "x").rstrip("=")}


def _read_oct(key: Mapping[str, Any], alg: str) -> dict[str, str]:
    least = int(alg[2:]) // 8
    if len(_bytes(key, "k")) < least:
        # RFC 7518 3.2
        raise ValueError(f"k is shorter than the {least} bytes that {alg} needs")
    return {"k": _text(key, "k").rstrip("=")}


_READERS = {"RSA": _read_rsa, "EC": _read_ec, "OKP": _read_okp, "oct": _read_oct}


def _text(key: Mapping[str, Any], name: str) -> str:
    value = key.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"needs {name}, a text")
    return value


def _bytes(key: Mapping[str, Any], name: str) -> bytes:
    text = _text(key, name).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{name} is not base64url") from None


def _number(key: Mapping[str, Any], name: str) -> int:
    return int.from_bytes(_bytes(key, name))
