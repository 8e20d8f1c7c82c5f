"""Issuers of JSON Web Tokens for tests: real keys, PyJWT to sign, JSON Web Key Sets to publish."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

Claims = dict[str, Any]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | bytes

ISSUER = "https://id.example.com/"
AUDIENCE = "https://api.example.com"
DAY = 86_400


def new_key(alg: str) -> PrivateKey:
    """A key for an algorithm, of the size RFC 7518 asks for."""
    if alg.startswith("HS"):
        return bytes(range(int(alg[2:]) // 8))
    if alg == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if alg.startswith("ES"):
        curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
        return ec.generate_private_key(curves[alg])
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def base64url(raw: bytes) -> str:
    """RFC 7515, appendix C."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unsigned(header: Mapping[str, Any], claims: Mapping[str, Any], signature: str = "") -> str:
    """A token put together by hand, with any header and any signature."""
    parts = [base64url(json.dumps(each).encode()) for each in (header, claims)]
    return ".".join([*parts, signature])


class Issuer:
    """One issuer with one key."""

    def __init__(
        self,
        name: str = ISSUER,
        alg: str = "RS256",
        kid: str = "main",
        key: PrivateKey | None = None,
    ) -> None:
        self.name = name
        self.alg = alg
        self.kid = kid
        self.key = key if key is not None else new_key(alg)

    def claims(self, **claims: Any) -> Claims:
        """Claims of a good token, with changes; None takes one away.

        It is good for a day: parameters of tests are made long before the last test runs.
        """
        good = {"iss": self.name, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + DAY}
        return {name: value for name, value in (good | claims).items() if value is not None}

    def token(
        self, *, alg: str | None = None, header: Mapping[str, Any] | None = None, **claims: Any
    ) -> str:
        """A token signed with the key of this issuer."""
        headers = {"kid": self.kid, **(header or {})}
        return jwt.encode(self.claims(**claims), self.key, alg or self.alg, headers)  # type: ignore[arg-type]

    def bearer(self, **options: Any) -> tuple[str, str]:
        """The header with a token."""
        return ("authorization", f"Bearer {self.token(**options)}")

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """The key as a JWK, the public part of it; None takes a member away."""
        algorithm = get_default_algorithms()[self.alg]
        shown: Any = self.key if isinstance(self.key, bytes) else self.key.public_key()
        made: dict[str, Any] = {
            **algorithm.to_jwk(shown, as_dict=True),
            "kid": self.kid,
            "alg": self.alg,
        }
        made.pop("key_ops", None)
        return {name: value for name, value in (made | changes).items() if value is not None}

    def jwks(self, *others: Issuer, **changes: Any) -> str:
        """The key set of this issuer, and of others with it."""
        return json.dumps({"keys": [self.jwk(**changes), *(each.jwk() for each in others)]})

    def provider(self, name: str = "main", **config: Any) -> dict[str, Any]:
        """A provider of ``jwt-auth`` with the keys in place."""
        return {
            "name": name,
            "issuer": self.name,
            "audiences": [AUDIENCE],
            "algorithms": [self.alg],
            "jwks": {"inline": self.jwks()},
            **config,
        }
