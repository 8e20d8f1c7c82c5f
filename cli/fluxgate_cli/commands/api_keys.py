"""``fluxgate api-keys``: make, list and revoke API keys of a configuration folder."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import BaseModel, ValidationError
from rich.text import Text

from fluxgate.api.v1alpha1 import ApiKey
from fluxgate.api.v1alpha1.gatewayconfig import ApiKeySettings, KeyFormat
from fluxgate.apikeys import digest, mint
from fluxgate.apikeys.format import MIN_RANDOM_BYTES
from fluxgate.resources import ObjectRef
from fluxgate_cli import apikey_text, options
from fluxgate_cli.errors import EPILOG, InvalidResourcesError, UsageError
from fluxgate_cli.files import write_atomically
from fluxgate_cli.folder import Folder, load_folder
from fluxgate_cli.output import OutputFormat, print_data, print_json, print_table, say

FOLDER = "api-keys"
DEFAULT_PREFIX = "flx_live_"


class KeyView(BaseModel):
    """One key, as ``list`` shows it. The key itself is nowhere to be shown."""

    name: str
    namespace: str
    display_name: str
    key: str
    state: str
    tenant: str
    plan: str
    scopes: tuple[str, ...]
    expires_at: datetime | None
    file: str
    line: int


def create_app() -> typer.Typer:
    """The command group."""
    app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True, epilog=EPILOG)
    for name, command in (("create", create), ("list", list_keys), ("revoke", revoke)):
        app.command(name, epilog=EPILOG)(command)
    return app


def create(
    name: Annotated[str, typer.Option("--name", help="What the key is for; also its object name.")],
    config: options.ConfigDir = options.DEFAULT_CONFIG,
    prefix: Annotated[
        str,
        typer.Option("--prefix", "--format", help="Prefix of the key: one the gateway knows."),
    ] = DEFAULT_PREFIX,
    namespace: Annotated[str, typer.Option("--namespace", "-n")] = "default",
    plan: Annotated[str | None, typer.Option("--plan", help="The plan that limits it.")] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="The Tenant it belongs to.")
    ] = None,
    workspace: Annotated[str | None, typer.Option("--workspace", help="x-workspace-id.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="x-auth-subject.")] = None,
    role: Annotated[str | None, typer.Option("--role", help="x-pg-role.")] = None,
    scope: Annotated[list[str] | None, typer.Option("--scope", help="Repeatable.")] = None,
    expires_in: Annotated[
        str | None, typer.Option("--expires-in", help="For example 90d, 12h or 30m.")
    ] = None,
    allow_cidr: Annotated[
        list[str] | None,
        typer.Option("--allow-cidr", help="Clients that may use it, for example 10.0.0.0/8."),
    ] = None,
) -> None:
    """Make a key: its hash goes into DIR/api-keys/NAME.yaml, the key itself is printed once.

    \b
    Examples:
      fluxgate api-keys create --name laptop --plan basic --expires-in 90d
      KEY=$(fluxgate api-keys create --name ci --scope orders:read --config config/)
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    folder = load_folder(config)
    form = _form(folder, prefix)
    plain = mint(form.prefix, secrets.token_bytes(MIN_RANDOM_BYTES))
    spec: dict[str, object] = {
        "hash": digest(plain),
        "prefix": prefix,
        "lastFour": plain[-4:],
        "displayName": name,
        "audience": form.audience,
        "plan": _plan(folder, plan),
        "tenant": tenant,
        "workspace": workspace,
        "subject": subject,
        "role": role,
        "scopes": scope or [],
        "allowedCidrs": allow_cidr or [],
        "expiresAt": _expiry(expires_in),
    }
    key = _validated(_object_name(name), namespace, spec)
    ref = ObjectRef("ApiKey", namespace, key.metadata.name)
    if (place := folder.places.get(ref)) is not None:
        raise UsageError(
            f"{ref} is already defined in {place[0]}:{place[1]}", "Choose another --name."
        )
    file = config / FOLDER / f"{_file_name(key)}.yaml"
    try:
        write_atomically(file, apikey_text.render(key), replace=False)
    except FileExistsError:
        raise UsageError(f"{file} exists already", "Choose another --name.") from None
    say(f"wrote {file}; this is the only time the key is shown:")
    print_data(plain)


def list_keys(
    config: options.ConfigDir = options.DEFAULT_CONFIG,
    output: options.Output = OutputFormat.TABLE,
) -> None:
    """List the keys of a configuration folder.

    \b
    Examples:
      fluxgate api-keys list --config config/
      fluxgate api-keys list --config config/ -o json
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    folder = load_folder(config)
    views = list(_views(folder, datetime.now(UTC)))
    if output is OutputFormat.JSON:
        print_json([view.model_dump(mode="json") for view in views])
        return
    print_table(
        ("NAME", "KEY", "STATE", "PLAN", "TENANT", "SCOPES", "EXPIRES", "FILE"), map(_row, views)
    )


def revoke(
    name: Annotated[str, typer.Argument(help="The key's object name.")],
    config: options.ConfigDir = options.DEFAULT_CONFIG,
    namespace: Annotated[str, typer.Option("--namespace", "-n")] = "default",
) -> None:
    """Revoke a key; a running gateway refuses it as soon as it has read the file.

    \b
    Example:
      fluxgate api-keys revoke laptop --config config/ && fluxgate status --wait
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    folder = load_folder(config)
    ref = ObjectRef("ApiKey", namespace, name)
    key = folder.resources.api_keys.get(ref)
    if key is None:
        known = ", ".join(sorted(each.name for each in folder.resources.api_keys)) or "none"
        raise UsageError(f"there is no {ref} in {config}", f"There is: {known}.")
    file, line = folder.places[ref]
    if key.spec.revoked:
        say(f"{ref} is revoked already ({file}:{line})")
        return
    path = Path(file)
    try:
        edited = apikey_text.revoke(
            path.read_bytes().decode("utf-8-sig"), namespace, name, datetime.now(UTC)
        )
    except yaml.YAMLError as error:
        raise InvalidResourcesError(f"{file} is not YAML: {error}") from None
    if edited is None:
        raise InvalidResourcesError(
            f"{ref} cannot be edited in {file}:{line}", "Add 'revoked: true' to its spec by hand."
        )
    write_atomically(path.resolve(), edited, mode=path.stat().st_mode & 0o777)
    say(f"revoked {ref} in {file}:{line}")


def _form(folder: Folder, prefix: str) -> KeyFormat:
    """The form of key a gateway of the folder accepts; the usual ones when there is no gateway."""
    configs = folder.resources.gateway_configs.values()
    settings = [each.spec.api_keys for each in configs] or [ApiKeySettings()]
    forms = {form.prefix: form for each in settings for form in each.formats}
    if prefix not in forms:
        raise UsageError(
            f"no gateway in {folder.root} accepts keys that start with {prefix!r}",
            f"Known prefixes: {', '.join(sorted(forms))}.",
        )
    return forms[prefix]


def _plan(folder: Folder, plan: str | None) -> str | None:
    configs = folder.resources.gateway_configs.values()
    known = sorted({each.name for config in configs for each in config.spec.plans})
    if plan is not None and configs and plan not in known:
        raise UsageError(
            f"no gateway in {folder.root} has a plan {plan!r}",
            f"Known plans: {', '.join(known) or 'none'}.",
        )
    return plan


def _expiry(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return apikey_text.rfc3339(datetime.now(UTC) + apikey_text.parse_span(text))
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--expires-in: {error}") from None


def _object_name(text: str) -> str:
    try:
        return apikey_text.object_name(text)
    except ValueError as error:
        raise UsageError(f"--name: {error}") from None


def _validated(name: str, namespace: str, spec: dict[str, object]) -> ApiKey:
    given = {field: value for field, value in spec.items() if value not in (None, [])}
    try:
        return ApiKey.model_validate(
            {"kind": "ApiKey", "metadata": {"name": name, "namespace": namespace}, "spec": given}
        )
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False)
        ]
        raise UsageError("; ".join(problems)) from None


def _file_name(key: ApiKey) -> str:
    namespace, name = key.metadata.namespace, key.metadata.name
    return name if namespace == "default" else f"{namespace}.{name}"


def _views(folder: Folder, now: datetime) -> Iterable[KeyView]:
    for ref, key in sorted(folder.resources.api_keys.items()):
        spec = key.spec
        expired = spec.expires_at is not None and spec.expires_at <= now
        file, line = folder.places[ref]
        yield KeyView(
            name=ref.name,
            namespace=ref.namespace,
            display_name=spec.display_name,
            key=f"{spec.prefix}…{spec.last_four}",
            state="revoked" if spec.revoked else "expired" if expired else "active",
            tenant=spec.tenant or "",
            plan=spec.plan or "",
            scopes=spec.scopes,
            expires_at=spec.expires_at,
            file=file,
            line=line,
        )


def _row(view: KeyView) -> tuple[str | Text, ...]:
    name = view.name if view.namespace == "default" else f"{view.namespace}/{view.name}"
    expires = apikey_text.rfc3339(view.expires_at) if view.expires_at else "never"
    style = "green" if view.state == "active" else "red"
    return (
        name,
        view.key,
        Text(view.state, style=style),
        view.plan or "-",
        view.tenant or "-",
        " ".join(view.scopes) or "-",
        expires,
        f"{view.file}:{view.line}",
    )
