"""The catalogue of plugins: whole, current, and with examples that can be used as they stand."""

from __future__ import annotations

import pytest
from support.documentation import ROOT
from support.plugin_examples import config_of, translated

from fluxgate.ir import Forward
from fluxgate.resources import ObjectRef
from fluxgate.translator.plugins import POLICY_TYPES, PolicyType
from fluxgate.translator.policies import policy_type
from fluxgate.xds.httpfilters import ORDER
from tools.generate_plugin_docs import (
    as_plugin,
    differences,
    in_route,
    render_catalogue,
    render_page,
)

PROMISED = (
    "acl", "bandwidth", "basic-auth", "circuit-breaker", "compression", "cors", "csrf",
    "direct-response", "envoy-patch", "ext-authz", "ext-proc", "fault", "grpc-json-transcode",
    "grpc-web", "ip-restriction", "jwt-auth", "key-auth", "lua", "mcp", "mtls-auth", "oidc",
    "quota", "rate-limit", "redirect", "request-size", "request-termination", "request-transform",
    "response-size", "response-transform", "retry", "security-headers", "timeout", "wasm",
)  # fmt: skip
WITHOUT_ERRORS = {
    "bandwidth", "compression", "cors", "direct-response", "envoy-patch", "grpc-web", "redirect",
    "retry", "security-headers",
}  # fmt: skip
"""Types that never answer with an error of their own."""
TYPES = [pytest.param(each, id=each.name) for each in POLICY_TYPES]


def test_the_generated_pages_are_current() -> None:
    assert differences(ROOT) == [], "run `make generate`"


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_type_is_there(name: str) -> None:
    assert policy_type(name) is not None


@pytest.mark.parametrize("policy", TYPES)
def test_a_type_says_what_it_is_for_how_to_write_it_and_what_it_answers(policy: PolicyType) -> None:
    assert policy.summary.endswith(".")
    assert policy.example
    assert bool(policy.errors) is (policy.name not in WITHOUT_ERRORS)
    assert all(100 <= status <= 599 and when for status, when in policy.errors)


@pytest.mark.parametrize("policy", TYPES)
def test_every_field_is_in_the_page(policy: PolicyType) -> None:
    page = render_page(policy)
    assert [
        name for name in policy.config.model_json_schema()["properties"] if f"`{name}`" not in page
    ] == []


@pytest.mark.parametrize("policy", TYPES)
def test_a_value_that_people_choose_from_is_in_the_page(policy: PolicyType) -> None:
    page = render_page(policy)
    for field in policy.config.model_json_schema()["properties"].values():
        assert [each for each in field.get("enum", ()) if f"`{each}`" not in page] == []


@pytest.mark.parametrize("plugins", [False, True], ids=["in the route", "as a Plugin"])
@pytest.mark.parametrize("policy", TYPES)
def test_an_example_translates_with_nothing_to_say_about_it(
    policy: PolicyType, plugins: bool
) -> None:
    translation = translated(policy, plugins=plugins)
    messages = {
        str(ref): [each.message for each in status.conditions if each.message]
        for ref, status in translation.statuses.items()
    }
    assert {ref: found for ref, found in messages.items() if found} == {}
    routes = translation.gateways["main"].route_tables[0].virtual_hosts[0].routes
    answered = policy.name in {"redirect", "direct-response"}
    assert any(each.origin == ObjectRef("Route", "default", policy.name) for each in routes)
    assert any(isinstance(each.action, Forward) for each in routes) is not answered


@pytest.mark.parametrize("policy", TYPES)
def test_an_example_sets_something_where_there_is_something_to_set(policy: PolicyType) -> None:
    assert bool(config_of(policy)) is bool(policy.config.model_fields) or policy.name == "grpc-web"


@pytest.mark.parametrize("policy", TYPES)
def test_the_documents_of_a_page_hold_the_example(policy: PolicyType) -> None:
    config = config_of(policy)
    assert as_plugin(policy)["spec"].get("config", {}) == config
    assert in_route(policy)["spec"]["plugins"][-1].get("config", {}) == config


def test_the_catalogue_names_every_type_in_the_order_of_envoy_and_every_filter_with_its_reason() -> (
    None
):
    page = render_catalogue()
    places = [page.index(f"[`{each.name}`]({each.name}.md)") for each in POLICY_TYPES]
    assert places == sorted(places)
    assert [place.filter.name for place in ORDER if f"`{place.filter.name}`" not in page] == []
    assert [place.reason for place in ORDER if place.reason.replace("|", "\\|") not in page] == []
