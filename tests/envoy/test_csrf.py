"""``csrf``, enforced by the real Envoy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.documents import CLOSED, Documents, gateway, route
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(echo: EchoUpstream) -> Iterator[Documents]:
    listed = ["partner.example.com", "app.example.com:8443", "*.site.example.com"]
    documents = (
        gateway(),
        route("app", echo.port, {"csrf": {"additionalOrigins": listed}}),
        route("strict", echo.port, {"csrf": {}}),
        route("open", echo.port),
        route("malformed", echo.port, {"csrf": {"additionalOrigins": ["https://x.example.com"]}}),
    )
    with Documents(*documents) as running:
        yield running


def change(served: Documents, path: str, *headers: tuple[str, str], method: str = "POST") -> int:
    return served.get(path, [("host", "app.example.com"), *headers], method=method).status


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_change_from_another_site_is_refused(served: Documents, method: str) -> None:
    evil = ("origin", "https://evil.example.com")
    assert change(served, "/strict", evil, method=method) == 403
    assert change(served, "/open", evil, method=method) == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_only_reads_passes_from_anywhere(served: Documents, method: str) -> None:
    assert change(served, "/strict", ("origin", "https://evil.example.com"), method=method) == 200


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("origin", "https://app.example.com", 200),
        ("referer", "https://app.example.com/form", 200),
        ("referer", "https://evil.example.com/app.example.com", 403),
        ("origin", "null", 403),
        ("origin", "https://app.example.com.evil.example.org", 403),
        ("origin", "https://app.example.com@evil.example.org", 403),
        ("x-nothing", "", 403),
    ],
)
def test_the_site_itself_is_known_by_origin_or_referer(
    served: Documents, name: str, value: str, status: int
) -> None:
    assert change(served, "/strict", (name, value)) == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://partner.example.com", 200),
        ("https://partner.example.com:444", 403),
        ("https://app.example.com:8443", 200),
        ("https://a.site.example.com", 200),
        ("https://a.b.site.example.com", 200),
        ("https://site.example.com", 403),
        ("https://evilsite.example.com", 403),
        ("https://a.site.example.com.evil.example.org", 403),
    ],
)
def test_other_origins_pass_where_they_are_listed(
    served: Documents, origin: str, status: int
) -> None:
    assert change(served, "/app", ("origin", origin)) == status


def test_a_refusal_has_the_error_shape(served: Documents) -> None:
    answer = served.get("/strict", [("origin", "https://evil.example.com")], method="POST")
    assert answer.json()["error"] == "forbidden"
    assert answer.json()["message"] == "Invalid origin"


def test_a_malformed_config_closes_the_route_and_names_the_field(served: Documents) -> None:
    condition = served.condition("Route", "malformed")
    assert condition.message.startswith("spec.plugins[0].config.additionalOrigins[0]: ")
    assert change(served, "/malformed", method="GET") == CLOSED
