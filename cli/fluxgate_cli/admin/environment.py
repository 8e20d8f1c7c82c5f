"""Settings of the admin API from the environment; options of the command line come first.

Master keys never stand on a command line, where every process of the machine reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from fluxgate.secret import SecretBytes
from fluxgate_admin.settings import (
    AdminSettings,
    LimitSettings,
    RetentionSettings,
    SignatureSettings,
)
from fluxgate_cli.admin.options import Given
from fluxgate_cli.errors import UsageError

PREFIX = "FLUXGATE_ADMIN_"
DATABASE = f"{PREFIX}DATABASE"
MASTER_KEYS = f"{PREFIX}MASTER_KEYS"
MASTER_KEY_FILE = f"{PREFIX}MASTER_KEY_FILE"
ISSUER = f"{PREFIX}ISSUER"
KEY_PREFIXES = ("sk_live_", "sk_test_")

VARIABLES = (
    ("ISSUER", "public URL of the API, that of the tokens it issues; by default where it listens"),
    ("KEY_PREFIX", "sk_live_ (the default) or sk_test_: what keys of this installation begin with"),
    ("DEFAULT_NAMESPACE", "where objects are when a request names no namespace; default"),
    ("TRUSTED_PROXIES", "CIDRs, separated by spaces, whose X-Forwarded-For is believed; none"),
    ("MAX_BODY_BYTES", "the largest body that is read; 1048576"),
    ("WAIT", "seconds a write waits for its proof when it names no time; 5"),
    ("WAIT_LIMIT", "the most seconds it may name; 60"),
    ("TRIAL_SECONDS", "seconds a dry run may take; 10"),
    ("TOKEN_SECONDS", "how long a token is valid; 3600"),
    ("LIMIT_READS", "reads a minute for one credential; 120"),
    ("LIMIT_WRITES", "writes a minute for one credential; 30"),
    (
        "LIMIT_FAILURES",
        "refused calls a minute from one address, until it waits; 30, and 0 for no limit",
    ),
    ("LIMIT_STORAGE", "where they are counted, a URL of the limits library; async+memory://"),
    ("HISTORY_DAYS", "how long history is kept; 0, for ever"),
    ("AUDIT_DAYS", "how long the audit log is kept; 365"),
    ("IDEMPOTENCY_HOURS", "how long the answer to an Idempotency-Key is kept; 24"),
    ("SIGNATURE_SKEW", "seconds the timestamp of a signature may be off; 300"),
)
"""Name (after ``FLUXGATE_ADMIN_``) and meaning of what is read from the environment alone."""

T = TypeVar("T", int, float)


@dataclass(slots=True)
class _Variables:
    environ: Mapping[str, str]
    defaults: AdminSettings = field(
        default_factory=lambda: AdminSettings(database="", master_keys=())
    )

    def text(self, name: str, default: str) -> str:
        return self.environ.get(PREFIX + name, "").strip() or default

    def number(self, name: str, default: T, kind: Callable[[str], T]) -> T:
        text = self.text(name, "")
        if not text:
            return default
        try:
            value = kind(text)
        except ValueError:
            value = kind("-1")
        if not value >= 0:  # NaN is neither
            raise UsageError(f"{PREFIX}{name} is {text!r}, which is no number of that kind")
        return value


def settings_from(
    environ: Mapping[str, str], given: Given, default_database: str = ""
) -> AdminSettings:
    """The settings; raises :class:`UsageError` for what is missing or cannot be read."""
    variables = _Variables(environ)
    defaults = variables.defaults
    database = given.database or variables.text("DATABASE", default_database)
    if not database:
        raise UsageError(
            "the admin API needs a database", f"Name one with --database or {DATABASE}."
        )
    prefix = variables.text("KEY_PREFIX", defaults.key_prefix)
    if prefix not in KEY_PREFIXES:
        raise UsageError(f"{PREFIX}KEY_PREFIX is {prefix!r}", f"Say {' or '.join(KEY_PREFIXES)}.")
    return AdminSettings(
        database=database,
        master_keys=master_keys(environ, given.master_key_file),
        issuer=given.issuer or variables.text("ISSUER", defaults.issuer),
        key_prefix=prefix,
        default_namespace=variables.text("DEFAULT_NAMESPACE", defaults.default_namespace),
        trusted_proxies=tuple(variables.text("TRUSTED_PROXIES", "").split()),
        max_body_bytes=variables.number("MAX_BODY_BYTES", defaults.max_body_bytes, int),
        wait=variables.number("WAIT", defaults.wait, float),
        wait_limit=variables.number("WAIT_LIMIT", defaults.wait_limit, float),
        trial_seconds=variables.number("TRIAL_SECONDS", defaults.trial_seconds, float),
        token_seconds=variables.number("TOKEN_SECONDS", defaults.token_seconds, int),
        limits=_limits(variables),
        retention=_retention(variables),
        signatures=SignatureSettings(
            required=not given.unsigned_writes,
            skew=variables.number("SIGNATURE_SKEW", defaults.signatures.skew, float),
        ),
    )


def _limits(variables: _Variables) -> LimitSettings:
    defaults = variables.defaults.limits
    return LimitSettings(
        reads=variables.number("LIMIT_READS", defaults.reads, int),
        writes=variables.number("LIMIT_WRITES", defaults.writes, int),
        failures=variables.number("LIMIT_FAILURES", defaults.failures, int),
        storage=variables.text("LIMIT_STORAGE", defaults.storage),
    )


def _retention(variables: _Variables) -> RetentionSettings:
    defaults = variables.defaults.retention
    return RetentionSettings(
        history_days=variables.number("HISTORY_DAYS", defaults.history_days, int),
        audit_days=variables.number("AUDIT_DAYS", defaults.audit_days, int),
        idempotency_hours=variables.number("IDEMPOTENCY_HOURS", defaults.idempotency_hours, int),
    )


def master_keys(environ: Mapping[str, str], file: Path | None) -> tuple[SecretBytes, ...]:
    """The master keys, the one that seals first; raises :class:`UsageError` without any."""
    named = file or (Path(text) if (text := environ.get(MASTER_KEY_FILE, "").strip()) else None)
    said = environ.get(MASTER_KEYS, "")
    if named is not None:
        try:
            said = named.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is no text"
            raise UsageError(f"the master key file {named} cannot be read: {reason}") from None
    keys = tuple(SecretBytes(each.encode()) for each in said.replace(",", " ").split())
    if not keys:
        raise UsageError(
            "the admin API does not start without a master key, which seals the secrets it keeps",
            f"Make one with `openssl rand -base64 32` and give it in {MASTER_KEYS}, or in a file "
            f"named by {MASTER_KEY_FILE}.",
        )
    return keys
