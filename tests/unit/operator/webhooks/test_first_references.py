"""What admission says of the Services and Secrets that an object is the first to refer to."""

from __future__ import annotations

from fluxgate.api.parse import parse_object
from fluxgate.resources import ResourceStore
from fluxgate_operator.webhooks.validation import Validator

API = "gateway.fluxgate.io/v1alpha1"


def judged(kind: str, spec: dict[str, object]) -> tuple[str, tuple[str, ...]]:
    store = ResourceStore()
    listeners = [{"name": "http", "port": 8080}]
    store.upsert(
        parse_object(
            {
                "apiVersion": API,
                "kind": "GatewayConfig",
                "metadata": {"name": "main"},
                "spec": {"listeners": listeners},
            }
        )
    )
    document = {"apiVersion": API, "kind": kind, "metadata": {"name": "new"}, "spec": spec}
    judgement = Validator().judge(document, store.freeze())
    return judgement.refused, judgement.warnings


def test_a_service_that_nothing_referred_to_before_is_no_reason_for_a_warning() -> None:
    assert judged("Backend", {"service": {"name": "echo", "port": 8000}}) == ("", ())


def test_a_secret_that_nothing_referred_to_before_is_no_reason_for_a_warning() -> None:
    tls = {"caCertificateRef": {"name": "ca"}}
    upstream = {"targets": [{"host": "192.0.2.1", "port": 443}], "tls": tls}

    assert judged("Upstream", upstream) == ("", ())


def test_a_missing_object_of_ours_is() -> None:
    match = {"path": {"value": "/x"}}
    backends = [
        {"kind": "Service", "name": "echo", "port": 80},
        {"kind": "Backend", "name": "gone"},
    ]

    refused, warnings = judged("Route", {"matches": [match], "backends": backends})

    assert refused == ""
    assert len(warnings) == 1
    assert "Backend default/gone does not exist" in warnings[0]
    assert "Service" not in warnings[0]
