"""``wasm``: a WebAssembly module of one's own (Proxy-Wasm ABI), run by V8 inside Envoy.

Trust: a module is walled in, but runs on the workers that carry everybody's traffic, and a loop
without an end would hold one up. So the type is off until ``spec.extensions.allow`` of the GatewayConfig
admits it, and for tenants until ``allowTenants`` does. It can neither call out nor open files, and
cannot change the identity that upstreams see.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1 import Model, duration_ms
from fluxgate.api.v1alpha1.base import AbsolutePath, Duration, HttpUrl, Name
from fluxgate.api.v1alpha1.policy import SecretRef
from fluxgate.api.v1alpha1.route import BackendRef
from fluxgate.api.v1alpha1.rules import Rule, how_many
from fluxgate.ir.policies.wasm import RemoteModule, Wasm
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.plugins.base import Context, Policies, PolicyType

MAX_CONFIGURATION = 64 * 1024
MAGIC = b"\0asm"

DataKey = Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)]


class RemoteCode(Model):
    """A module that Envoy fetches once and keeps."""

    url: HttpUrl = Field(description="Where the module is, over http or https.")
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="Of the module, in hexadecimal digits; another one is not run."
    )
    timeout: Duration = Field(default="10s", description="For one attempt to fetch it.")


class WasmModule(Model):
    """Where the module is."""

    inline: Annotated[str, StringConstraints(max_length=350_000)] | None = Field(
        default=None, description="The module itself in base64, at most 256 KiB of it."
    )
    secret_ref: SecretRef | None = Field(
        default=None, description="A Secret that holds the module."
    )
    key: DataKey = Field(default="module.wasm", description="Its key in the Secret.")
    file: AbsolutePath | None = Field(
        default=None, description="A file where Envoy runs, of an image or a volume."
    )
    remote: RemoteCode | None = None

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "give exactly one of inline, secretRef, file and remote",
            "[has(self.inline), has(self.secretRef), has(self.file), has(self.remote)]"
            ".filter(each, each).size() == 1",
            lambda self: how_many(self.inline, self.secret_ref, self.file, self.remote) == 1,
        ),
    )


class WasmConfig(Model):
    """The config of ``wasm``."""

    module: WasmModule
    root_id: Name | None = Field(
        default=None, description="The root context inside a module that has several."
    )
    configuration: dict[str, Any] = Field(
        default_factory=dict, description="What the module gets as its configuration, as JSON."
    )
    failure_mode: Literal["Closed", "Open", "Reload"] = Field(
        default="Closed",
        description="When the module crashed or could not be fetched. Closed: requests end with 503. "
        "Open: they go on without it. Reload: as Closed, and it is started again.",
    )


def _apply(policies: Policies, config: WasmConfig, context: Context) -> Policies:
    context.require_admitted("wasm")
    configuration = ""
    if config.configuration:
        configuration = json.dumps(config.configuration, sort_keys=True, separators=(",", ":"))
    if len(configuration) > MAX_CONFIGURATION:
        raise PolicyError("config.configuration", "is larger than 64 KiB")
    return policies.adding(
        Wasm(
            name=context.name,
            code=_code(config.module, context),
            root_id=config.root_id or "",
            configuration=configuration,
            on_failure=config.failure_mode.upper(),
        )
    )


def _code(module: WasmModule, context: Context) -> bytes | str | RemoteModule:
    if module.file is not None:
        return str(module.file)
    if module.remote is not None:
        remote, path = module.remote, "config.module.remote.url"
        timeout = max(duration_ms(remote.timeout), 1)
        cluster = context.cluster(BackendRef(url=_site(remote.url)), path)
        return RemoteModule(cluster, remote.url, remote.sha256, timeout)
    if module.secret_ref is not None:
        where = "config.module.secretRef"
        return _checked(context.secret(module.secret_ref, where, module.key).reveal(), where)
    where = "config.module.inline"
    try:
        return _checked(base64.b64decode(module.inline or "", validate=True), where)
    except binascii.Error as error:
        raise PolicyError(where, f"is not base64: {error}") from None


def _site(url: str) -> str:
    """The URL without its path."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def _checked(code: bytes, path: str) -> bytes:
    if not code.startswith(MAGIC):
        raise PolicyError(path, "is not a WebAssembly module: it does not begin with \\0asm")
    return code


POLICY = PolicyType(
    "wasm",
    WasmConfig,
    _apply,
    summary="Runs a WebAssembly module (Proxy-Wasm) on the requests and answers of a route.",
    example="""\
module:
  remote:
    url: https://modules.example.com/stamp.wasm
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
configuration: {header: x-stamp}
""",
    errors=((503, "the module crashed or could not be had, and failureMode is not Open"),),
)
