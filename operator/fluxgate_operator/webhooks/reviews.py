"""AdmissionReview ``admission.k8s.io/v1``: questions in, answers out. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fluxgate.errors import FluxGateError

_MAX_WARNING = 256
"""Longer warnings may be cut by the API server (AdmissionResponse.warnings)."""


class ReviewError(FluxGateError):
    """What came is not an AdmissionReview."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the API server asks. ``old`` is None on CREATE."""

    uid: str
    operation: str
    namespace: str
    obj: Mapping[str, Any]
    old: Mapping[str, Any] | None


def read_review(body: object) -> Question:
    """The question of a review. Raises :class:`ReviewError`."""
    request = body.get("request") if isinstance(body, Mapping) else None
    if not isinstance(request, Mapping) or not isinstance(request.get("uid"), str):
        raise ReviewError("the body is not an AdmissionReview of admission.k8s.io/v1")
    obj = request.get("object")
    if not isinstance(obj, Mapping):
        raise ReviewError("the AdmissionReview holds no object")
    return Question(
        request["uid"],
        str(request.get("operation", "")),
        str(request.get("namespace", "")),
        obj,
        request.get("oldObject") or None,
    )


def allow(
    question: Question,
    patch: list[dict[str, Any]] | None = None,
    warnings: Iterable[str] = (),
) -> dict[str, Any]:
    """Yes, with these changes and warnings."""
    response: dict[str, Any] = {"uid": question.uid, "allowed": True}
    if patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(patch).encode()).decode()
    if listed := [each[:_MAX_WARNING] for each in warnings]:
        response["warnings"] = listed
    return _review(response)


def deny(question: Question, message: str, code: int = 422) -> dict[str, Any]:
    """No, because of ``message``."""
    status = {"code": code, "message": message}
    return _review({"uid": question.uid, "allowed": False, "status": status})


def _review(response: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": response,
    }
