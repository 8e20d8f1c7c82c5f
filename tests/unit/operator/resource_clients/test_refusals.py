"""What an API server's refusal of a dry run means for the write.

Its words are those of Kubernetes 1.37; a webhook with side effects cannot be registered with it any more
(admissionregistration.k8s.io/v1 takes none), and stays from older clusters.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes.aio.client import ApiException

from fluxgate.errors import ResourceDryRunError, ResourceError
from fluxgate_operator.resource_clients.official import refusal

SUBJECT = "Route shop/orders"


def answer(code: int, message: str) -> ApiException:
    """A meta/v1 Status."""
    status: dict[str, Any] = {"kind": "Status", "code": code, "message": message}
    error = ApiException(status=code, reason="Refused")
    error.body = json.dumps(status)
    return error


@pytest.mark.parametrize(
    ("code", "message", "words"),
    [
        (
            400,
            'admission webhook "audit.example.com" does not support dry run',
            'the API server cannot say before it is written: admission webhook "audit.example.com"',
        ),
        (
            403,
            'admission webhook "resources.gateway.fluxgate.io" denied the request: Conflicted: path /a',
            "FluxGate's admission webhook refuses it: Conflicted: path /a",
        ),
    ],
)
def test_what_only_the_write_finds_out_is_no_refusal_of_the_document(
    code: int, message: str, words: str
) -> None:
    found = refusal(SUBJECT, answer(code, message), dry_run=True)
    assert isinstance(found, ResourceDryRunError)
    assert words in found.message
    assert isinstance(refusal(SUBJECT, answer(code, message)), ResourceError), "of a write it is"


def test_any_other_webhook_is_believed_in_a_dry_run_too() -> None:
    denied = answer(403, 'admission webhook "names.example.com" denied the request: no')
    assert isinstance(refusal(SUBJECT, denied, dry_run=True), ResourceError)
