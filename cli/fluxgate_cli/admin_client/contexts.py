"""Contexts: which admin API the command line talks to, and as whom. Kept in one file, for its owner only."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from fluxgate_cli.admin_client.secrets import SecretSource
from fluxgate_cli.errors import UsageError
from fluxgate_cli.files import write_atomically

FILE_VARIABLE = "FLUXGATE_CONTEXTS"
PRIVATE = 0o600
_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
SECRETS = ("key", "signing_secret", "token", "client_secret")


def _checked_url(text: str) -> str:
    if not _URL.fullmatch(text):
        raise ValueError("is no URL such as https://admin.example.com")
    return text


class Context(BaseModel):
    """One API and one credential: a key (with the secret that signs its writes), a token, or an OAuth2 client."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    server: Annotated[str, AfterValidator(_checked_url)]
    namespace: str | None = None
    ca_file: Path | None = None
    allow_http: bool = False
    key: SecretSource | None = None
    signing_secret: SecretSource | None = None
    token: SecretSource | None = None
    client_id: str | None = None
    client_secret: SecretSource | None = None

    @model_validator(mode="after")
    def _one_credential(self) -> Context:
        if sum(each is not None for each in (self.key, self.token, self.client_id)) > 1:
            raise ValueError("give one of key, token and client_id")
        if (self.client_id is None) != (self.client_secret is None):
            raise ValueError("client_id and client_secret go together")
        if self.signing_secret is not None and self.key is None:
            raise ValueError("signing_secret goes with key")
        return self

    @property
    def holds_secrets(self) -> bool:
        """Whether a secret stands in the file itself."""
        sources = (self.key, self.signing_secret, self.token, self.client_secret)
        return any(each is not None and each.value is not None for each in sources)


class Contexts(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    current: str | None = None
    contexts: dict[str, Context] = Field(default_factory=dict)


def contexts_path(environ: Mapping[str, str]) -> Path:
    """Where the contexts are: ``FLUXGATE_CONTEXTS``, else below ``XDG_CONFIG_HOME``, else ``~/.config``."""
    if named := environ.get(FILE_VARIABLE):
        return Path(named)
    base = environ.get("XDG_CONFIG_HOME", "")
    # the specification: a path that is not absolute does not count
    home = Path(base) if base.startswith("/") else Path(environ.get("HOME", "~")) / ".config"
    return home.expanduser() / "fluxgate" / "config.yaml"


def load_contexts(path: Path) -> Contexts:
    """The contexts; none without a file. Raises :class:`UsageError`."""
    try:
        text = path.read_text(encoding="utf-8")
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return Contexts()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(f"the contexts in {path} cannot be read: {reason}") from None
    try:
        found = Contexts.model_validate(yaml.safe_load(text) or {})
    except yaml.YAMLError:
        raise UsageError(f"the contexts in {path} are not YAML") from None
    except ValidationError as error:
        raise UsageError(f"{path}: {first_problem(error, 'contexts')}") from None
    if mode & 0o077 and any(each.holds_secrets for each in found.contexts.values()):
        raise UsageError(
            f"{path} holds secrets, and others may read it (mode {mode:o})", f"chmod 600 {path}"
        )
    return found


def first_problem(error: ValidationError, whole: str) -> str:
    """The first thing wrong and its place, without the value, which may be a secret.

    ``whole`` is the place where the fields are right by themselves, and not together.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    said = first["msg"].removeprefix("Value error, ")
    return f"{'.'.join(map(str, first['loc'])) or whole}: {said}"


def save_contexts(path: Path, contexts: Contexts) -> None:
    """Write the file anew, for its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    plain: dict[str, Any] = contexts.model_dump(
        mode="json", exclude_none=True, exclude_defaults=True
    )
    write_atomically(path, yaml.safe_dump(plain, sort_keys=False), mode=PRIVATE)
