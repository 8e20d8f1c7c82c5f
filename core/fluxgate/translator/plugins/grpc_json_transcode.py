"""``grpc-json-transcode``: JSON over HTTP for a gRPC service, by its ``google.api.http`` annotations."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Annotated, ClassVar

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError
from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.policy import SecretRef
from fluxgate.api.v1alpha1.rules import Rule, how_many
from fluxgate.ir.policies.grpc import GrpcJson
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.plugins.base import Context, Policies, PolicyType

ServiceName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$", max_length=253
    ),
]
DataKey = Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)]


class DescriptorSet(Model):
    """A FileDescriptorSet with everything it imports: ``protoc --include_imports --descriptor_set_out``."""

    inline: Annotated[str, StringConstraints(max_length=350_000)] | None = Field(
        default=None, description="The set in base64, at most 256 KiB of it."
    )
    secret_ref: SecretRef | None = Field(default=None, description="A Secret that holds the set.")
    key: DataKey = Field(default="descriptors.pb", description="Its key in the Secret.")

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "give exactly one of inline and secretRef",
            "has(self.inline) != has(self.secretRef)",
            lambda self: how_many(self.inline, self.secret_ref) == 1,
        ),
    )


class PrintOptions(Model):
    """How answers are written."""

    always_print_primitive_fields: bool = Field(
        default=False, description="Also those that have their default value."
    )
    enums_as_ints: bool = False
    preserve_proto_field_names: bool = Field(
        default=False, description="user_id instead of userId."
    )


class GrpcJsonTranscodeConfig(Model):
    """The config of ``grpc-json-transcode``."""

    descriptor_set: DescriptorSet
    services: Annotated[tuple[ServiceName, ...], Field(min_length=1, max_length=64)] = Field(
        description="Full names of the services to translate for: example.v1.Library."
    )
    auto_mapping: bool = Field(
        default=False, description="Methods without an annotation are POST /<service>/<method>."
    )
    ignore_unknown_query_parameters: bool = Field(
        default=False, description="Otherwise they are refused with 400."
    )
    print_options: PrintOptions = PrintOptions()
    max_request_body_bytes: Annotated[int, Field(ge=1, le=4_294_967_295)] | None = Field(
        default=None, description="Of a request that is held to be translated; 413 above."
    )


def _apply(policies: Policies, config: GrpcJsonTranscodeConfig, context: Context) -> Policies:
    payload = _payload(config.descriptor_set, context)
    known = set(_services(payload))
    for index, name in enumerate(config.services):
        if name not in known:
            listed = ", ".join(sorted(known)[:20]) or "none"
            message = f"there is no service {name!r} in the descriptor set; its services: {listed}"
            raise PolicyError(f"config.services[{index}]", message)
    shown = config.print_options
    return policies.adding(
        GrpcJson(
            descriptors=payload,
            services=config.services,
            auto_mapping=config.auto_mapping,
            ignore_unknown_query=config.ignore_unknown_query_parameters,
            always_print_primitive_fields=shown.always_print_primitive_fields,
            enums_as_ints=shown.enums_as_ints,
            proto_field_names=shown.preserve_proto_field_names,
            max_request_body_bytes=config.max_request_body_bytes or 0,
        )
    )


def _payload(source: DescriptorSet, context: Context) -> bytes:
    if source.secret_ref is not None:
        where = "config.descriptorSet.secretRef"
        return context.secret(source.secret_ref, where, source.key).reveal()
    try:
        return base64.b64decode(source.inline or "", validate=True)
    except binascii.Error as error:
        raise PolicyError("config.descriptorSet.inline", f"is not base64: {error}") from None


def _services(payload: bytes) -> Iterator[str]:
    try:
        files = FileDescriptorSet.FromString(payload)
    except DecodeError:
        raise PolicyError(
            "config.descriptorSet",
            "is no FileDescriptorSet; make it by protoc --include_imports --descriptor_set_out",
        ) from None
    for file in files.file:
        for service in file.service:
            yield f"{file.package}.{service.name}" if file.package else service.name


POLICY = PolicyType(
    "grpc-json-transcode",
    GrpcJsonTranscodeConfig,
    _apply,
    summary="Lets clients call a gRPC service with JSON over HTTP.",
    example="""\
descriptorSet: {secretRef: {name: library-descriptors}}
services: [example.v1.Library]
""",
    errors=(
        (400, "the JSON or a query parameter does not fit the method's message"),
        (404, "the service answered NOT_FOUND; other gRPC statuses by their usual HTTP statuses"),
    ),
)
