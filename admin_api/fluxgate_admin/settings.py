"""What the admin API is told. Built by the command line, passed down, never global."""

from __future__ import annotations

from dataclasses import dataclass, field

from fluxgate.secret import SecretBytes


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Requests a minute for one credential; ``storage`` is a URL of the ``limits`` library.

    ``failures`` are calls a minute that are refused before anybody is known, for one address; 0 is no limit.
    """

    reads: int = 120
    writes: int = 30
    failures: int = 30
    storage: str = "async+memory://"


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How long rows are kept, in days or hours as the names say; 0 days are for ever."""

    history_days: int = 0
    audit_days: int = 365
    idempotency_hours: int = 24


@dataclass(frozen=True, slots=True)
class SignatureSettings:
    """Signed writes. ``skew`` is how far a timestamp may be off, in seconds, either way.

    With ``required`` False a write by key may come unsigned; composition roots allow that only while
    everything listens on loopback.
    """

    required: bool = True
    skew: float = 300.0


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """The admin API of one process.

    ``database`` is a SQLAlchemy URL (``sqlite+aiosqlite:///…``, ``postgresql+psycopg://…``). ``master_keys``
    encrypt what has to be kept in a form that can be read again (signing secrets, token keys): the first
    encrypts, all decrypt. Without one nothing starts. ``issuer`` is the public URL of the API, that of the
    tokens it issues. ``trusted_proxies`` are CIDRs whose X-Forwarded-For is believed. ``key_prefix`` is
    ``sk_live_`` or ``sk_test_``. Seconds: ``wait`` is how long a write waits for its proof when it is asked
    to and names no time, ``wait_limit`` the most it may name, ``trial_seconds`` how long a dry run may take,
    ``token_seconds`` how long a token is valid. Bodies larger than ``max_body_bytes`` are not read.
    """

    database: str
    master_keys: tuple[SecretBytes, ...]
    issuer: str = "http://127.0.0.1:8090"
    key_prefix: str = "sk_live_"
    default_namespace: str = "default"
    trusted_proxies: tuple[str, ...] = ()
    max_body_bytes: int = 1024 * 1024
    wait: float = 5.0
    wait_limit: float = 60.0
    trial_seconds: float = 10.0
    token_seconds: int = 3600
    limits: LimitSettings = field(default_factory=LimitSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    signatures: SignatureSettings = field(default_factory=SignatureSettings)
