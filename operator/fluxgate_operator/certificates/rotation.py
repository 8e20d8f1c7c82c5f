"""When the authority gets a successor, and when the successor signs.

An Envoy trusts what it was given when its pod was made, or what the kubelet brought since. So
a successor is announced long before it signs anything, and its predecessor stays trusted until
it has expired.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509

from fluxgate_operator.certificates.authority import Pair, make_authority

_NAME = "fluxgate authority"


@dataclass(frozen=True, slots=True)
class RotationSettings:
    """``announce`` and ``switch`` are shares of the authority's ``life``.

    ``certificate_life`` is that of what it signs, renewed after two thirds.
    """

    life: dt.timedelta = dt.timedelta(days=3650)
    announce: float = 0.7
    switch: float = 0.9
    certificate_life: dt.timedelta = dt.timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Authorities:
    """Who signs, who will, and whom to trust: the content of the Secret."""

    signer: Pair
    successor: Pair | None
    trusted: tuple[bytes, ...]
    """Certificates in PEM; the signer's and the successor's among them."""

    @property
    def bundle(self) -> bytes:
        """All trusted certificates, in PEM."""
        return b"".join(self.trusted)

    def data(self) -> dict[str, str]:
        """As a Secret's ``data``."""
        parts = {"tls.crt": self.signer.certificate, "tls.key": self.signer.key}
        if self.successor is not None:
            parts |= {"next.crt": self.successor.certificate, "next.key": self.successor.key}
        parts["ca.crt"] = self.bundle
        return {name: base64.b64encode(part).decode() for name, part in parts.items()}


def read_authorities(data: Mapping[str, str]) -> Authorities | None:
    """From a Secret's ``data``; None when it holds no authority. Raises ``ValueError``."""
    try:
        parts = {name: base64.b64decode(value, validate=True) for name, value in data.items()}
    except binascii.Error as error:
        raise ValueError(f"the Secret's data is not base64: {error}") from error
    if "tls.crt" not in parts or "tls.key" not in parts:
        return None
    signer = Pair(parts["tls.crt"], parts["tls.key"])
    has_next = "next.crt" in parts and "next.key" in parts
    successor = Pair(parts["next.crt"], parts["next.key"]) if has_next else None
    listed = _split(parts.get("ca.crt", b""))
    return _trusting(signer, successor, listed)


def rotate(
    now_have: Authorities | None, now: dt.datetime, settings: RotationSettings
) -> Authorities:
    """What the Secret should hold at ``now``; the same object when nothing has to change."""
    if now_have is None or now_have.signer.spent(now) >= 1:
        trusted = () if now_have is None else now_have.trusted
        return _trusting(make_authority(_NAME, now, settings.life), None, trusted, now)
    spent, signer, successor = now_have.signer.spent(now), now_have.signer, now_have.successor
    if successor is None and spent >= settings.announce:
        successor = make_authority(_NAME, now, settings.life)
    elif successor is not None and spent >= settings.switch:
        signer, successor = successor, None
    wanted = _trusting(signer, successor, now_have.trusted, now)
    return now_have if wanted == now_have else wanted


def _trusting(
    signer: Pair,
    successor: Pair | None,
    others: tuple[bytes, ...],
    now: dt.datetime | None = None,
) -> Authorities:
    own = [signer.certificate, *([successor.certificate] if successor else [])]
    kept = [each for each in others if now is None or _valid(each, now)]
    return Authorities(signer, successor, tuple(dict.fromkeys([*own, *kept])))


def _valid(pem: bytes, now: dt.datetime) -> bool:
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc > now


def _split(bundle: bytes) -> tuple[bytes, ...]:
    end = b"-----END CERTIFICATE-----"
    parts = [part.strip() + b"\n" + end + b"\n" for part in bundle.split(end) if part.strip()]
    return tuple(parts)
