"""core/v1 Secrets: the one kind of another group that documents may hold."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from fluxgate.api.documents import join
from fluxgate.api.v1alpha1 import ObjectMeta
from fluxgate.errors import FieldProblem, ResourceError
from fluxgate.resources import Secret
from fluxgate.secret import SecretBytes

_KNOWN = ("apiVersion", "kind", "metadata", "type", "data", "stringData", "immutable")


def parse_secret(document: Mapping[str, Any], subject: str) -> Secret:
    """A Secret with ``data`` decoded and ``stringData`` laid over it, as the API server does.

    Raises :class:`ResourceError`; no message ever holds a value.
    """
    problems = [
        FieldProblem(key, f"unknown field; known here: {', '.join(_KNOWN)}")
        for key in document
        if key not in _KNOWN
    ]
    metadata = _metadata(document.get("metadata"), problems)
    secret_type = document.get("type", "Opaque")
    if not isinstance(secret_type, str):
        problems.append(FieldProblem("type", "must be text"))
    data = {**_decode(document, problems), **_plain(document, problems)}
    if problems or metadata is None:
        raise ResourceError(subject, tuple(problems))
    return Secret(metadata.namespace, metadata.name, secret_type, MappingProxyType(data))


def _metadata(value: object, problems: list[FieldProblem]) -> ObjectMeta | None:
    if not isinstance(value, Mapping):
        problems.append(FieldProblem("metadata", "is required"))
        return None
    given = {key: each for key, each in value.items() if each is not None}
    try:
        return ObjectMeta.model_validate(given, by_alias=True, by_name=False)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            path = "metadata"
            for part in each["loc"]:
                path = join(path, part)
            problems.append(FieldProblem(path, each["msg"]))
        return None


def _entries(
    document: Mapping[str, Any], field: str, problems: list[FieldProblem]
) -> dict[str, str]:
    value = document.get(field)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        problems.append(FieldProblem(field, "must be a mapping of names to text"))
        return {}
    wrong = [key for key, each in value.items() if not isinstance(each, str)]
    problems.extend(FieldProblem(join(field, key), "must be text") for key in wrong)
    return {key: each for key, each in value.items() if key not in wrong}


def _decode(document: Mapping[str, Any], problems: list[FieldProblem]) -> dict[str, SecretBytes]:
    decoded = {}
    for key, text in _entries(document, "data", problems).items():
        try:
            # line breaks come with YAML block text
            decoded[key] = SecretBytes(base64.b64decode("".join(text.split()), validate=True))
        except (binascii.Error, ValueError):
            problems.append(
                FieldProblem(join("data", key), "is not base64; write plain text under stringData")
            )
    return decoded


def _plain(document: Mapping[str, Any], problems: list[FieldProblem]) -> dict[str, SecretBytes]:
    entries = _entries(document, "stringData", problems)
    return {key: SecretBytes(text.encode()) for key, text in entries.items()}
