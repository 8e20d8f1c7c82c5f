"""``wasm``: a WebAssembly module of one's own (Proxy-Wasm ABI), run by V8 inside Envoy.

Trust: a module is walled in, but runs on the workers that carry everybody's traffic, and a loop
without an end would hold one up. So the type is off until ``spec.extensions.allow`` of the GatewayConfig
admits it, and for tenants until ``allowTenants`` does. It can neither call out nor open files, and
cannot change the identity that upstreams see.

A module comes from a Secret, from the config itself, or from a file where Envoy runs (of its image, or an
image volume). Not from a URL: Envoy 1.40 calls its fetching of modules unstable ("may cause a crash"), and an
Envoy that starts would wait for the server of the module before it serves anybody.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.base import AbsolutePath, Name
from fluxgate.api.v1alpha1.policy import SecretRef
from fluxgate.api.v1alpha1.rules import Rule, how_many
from fluxgate.ir.policies.wasm import Wasm
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.plugins.base import Context, Policies, PolicyType

MAX_CONFIGURATION = 64 * 1024
MAGIC = b"\0asm"

DataKey = Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)]


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

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "give exactly one of inline, secretRef and file",
            "[has(self.inline), has(self.secretRef), has(self.file)]"
            ".filter(each, each).size() == 1",
            lambda self: how_many(self.inline, self.secret_ref, self.file) == 1,
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
        description="When the module crashed. Closed: requests end with 503. "
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


def _code(module: WasmModule, context: Context) -> bytes | str:
    if module.file is not None:
        return str(module.file)
    if module.secret_ref is not None:
        where = "config.module.secretRef"
        return _checked(context.secret(module.secret_ref, where, module.key).reveal(), where)
    where = "config.module.inline"
    try:
        return _checked(base64.b64decode(module.inline or "", validate=True), where)
    except binascii.Error as error:
        raise PolicyError(where, f"is not base64: {error}") from None


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
module: {secretRef: {name: stamp-module}}
configuration: {header: x-stamp}
""",
    errors=((503, "the module crashed, and failureMode is not Open"),),
)
