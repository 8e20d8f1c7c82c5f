"""OpenAPI documents as objects: what becomes what, and what is said of the rest."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.commandline import Fluxgate

from fluxgate.api.parse import parse_object
from fluxgate_cli.errors import ExitCode
from fluxgate_cli.openapi.document import OpenApi
from fluxgate_cli.openapi.importing import Imported, Wishes, import_openapi
from fluxgate_cli.openapi.paths import path_match

OK: dict[str, Any] = {"responses": {"200": {"description": "fine"}}}
SERVER = "https://api.example.com/v1"


def document(paths: dict[str, Any], **fields: Any) -> dict[str, Any]:
    base = {"openapi": "3.1.0", "info": {"title": "Pet Store", "version": "1"}}
    return {**base, "servers": [{"url": SERVER}], "paths": paths, **fields}


def imported(paths: dict[str, Any], wishes: Wishes | None = None, **fields: Any) -> Imported:
    return import_openapi(OpenApi(document(paths, **fields)), wishes or Wishes())


def of_kind(found: Imported, kind: str) -> list[dict[str, Any]]:
    return [each for each in found.documents if each["kind"] == kind]


def one_route(found: Imported) -> dict[str, Any]:
    (route,) = of_kind(found, "Route")
    spec: dict[str, Any] = route["spec"]
    return spec


def lost(found: Imported) -> list[str]:
    return [f"{each.place}: {each.message}" for each in found.notes if each.lost]


def secured(scheme: dict[str, Any], requirement: Any = None, **wishes: Any) -> Imported:
    security = [{"one": []}] if requirement is None else requirement
    return imported(
        {"/pets": {"get": OK}},
        Wishes(**wishes),
        components={"securitySchemes": {"one": scheme}},
        security=security,
    )


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("/pets", {"type": "Exact", "value": "/pets"}),
        ("/pets/{id}", {"type": "Template", "value": "/pets/{id}"}),
        ("/a/{x y}/{x y}", {"type": "Template", "value": "/a/{x_y}/{x_y_}"}),
        ("/a/{1}", {"type": "Template", "value": "/a/{_1}"}),
        ("/f/{name}.json", {"type": "Regex", "value": r"/f/[^/]+\.json"}),
        ("/a/{x}-{y}/b.c", {"type": "Regex", "value": r"/a/[^/]+\-[^/]+/b\.c"}),
    ],
)
def test_a_path_becomes_the_simplest_match_that_says_it(path: str, match: dict[str, str]) -> None:
    assert path_match(path) == match
    parse_object(
        {
            "apiVersion": "gateway.fluxgate.io/v1alpha1",
            "kind": "Route",
            "metadata": {"name": "x"},
            "spec": {"matches": [{"path": match}]},
        }
    )


def test_a_path_and_its_methods_are_one_route_behind_the_servers_path() -> None:
    found = imported({"/pets/{id}": {"get": OK, "delete": OK, "parameters": []}})
    (backend,) = of_kind(found, "Backend")
    assert backend["metadata"]["name"] == "pet-store"
    assert backend["spec"] == {"url": "https://api.example.com"}
    (route,) = of_kind(found, "Route")
    assert route["metadata"]["name"] == "pet-store-pets-id"
    assert route["spec"]["matches"] == [
        {"path": {"type": "Template", "value": "/v1/pets/{id}"}, "methods": ["GET", "DELETE"]}
    ]
    assert route["spec"]["backends"] == [{"name": "pet-store"}]
    assert lost(found) == []


def test_methods_that_differ_in_more_than_the_method_are_routes_of_their_own() -> None:
    scheme = {"type": "apiKey", "in": "header", "name": "x-api-key"}
    found = imported(
        {"/pets": {"get": {**OK, "security": []}, "post": OK}},
        components={"securitySchemes": {"key": scheme}},
        security=[{"key": []}],
    )
    auth = {each["metadata"]["name"]: each["spec"]["auth"] for each in of_kind(found, "Route")}
    assert auth == {
        "pet-store-pets-get": {"mode": "None"},
        "pet-store-pets-post": {"mode": "Required", "credentials": ["ApiKey"]},
    }


def test_references_inside_the_document_are_followed() -> None:
    found = imported(
        {"/pets": {"$ref": "#/components/pathItems/pets"}},
        components={
            "pathItems": {"pets": {"get": OK}},
            "securitySchemes": {
                "key": {"$ref": "#/components/securitySchemes/real"},
                "real": {"type": "apiKey", "in": "header", "name": "apikey"},
            },
        },
        security=[{"key": []}],
    )
    assert one_route(found)["auth"]["credentials"] == ["ApiKey"]
    assert lost(found) == []


@pytest.mark.parametrize(
    "ref", ["other.yaml#/x", "https://example.com/x", "#/nowhere", "#/paths/~1pets", 7]
)
def test_a_reference_that_leads_nowhere_or_out_or_round_is_told(ref: object) -> None:
    found = imported({"/pets": {"$ref": ref}, "/fine": {"get": OK}})
    assert len(of_kind(found, "Route")) == 1
    assert any(each.startswith("/paths/~1pets: refers to") for each in lost(found))


def test_an_openid_connect_scheme_names_its_issuer_by_the_discovery_url() -> None:
    url = "https://id.example.com/.well-known/openid-configuration"
    found = secured({"type": "openIdConnect", "openIdConnectUrl": url}, [{"one": ["pets:read"]}])
    assert one_route(found)["auth"] == {
        "mode": "Required",
        "credentials": ["JWT"],
        "scopes": ["pets:read"],
    }
    (plugin,) = of_kind(found, "Plugin")
    assert one_route(found)["plugins"] == [{"name": plugin["metadata"]["name"]}]
    (provider,) = plugin["spec"]["config"]["providers"]
    assert provider["issuer"] == "https://id.example.com"
    assert found.invalid == 0


def test_bearer_tokens_take_the_issuer_that_is_given() -> None:
    scheme = {"type": "http", "scheme": "bearer"}
    assert one_route(secured(scheme))["enabled"] is False
    found = secured(scheme, issuer="https://id.example.com")
    assert "enabled" not in one_route(found)
    assert of_kind(found, "Plugin")[0]["spec"]["type"] == "jwt-auth"


@pytest.mark.parametrize(
    ("scheme", "requirement", "words"),
    [
        ({"type": "http", "scheme": "bearer"}, None, "says no issuer"),
        ({"type": "http", "scheme": "basic"}, None, "needs the config of basic-auth"),
        ({"type": "mutualTLS"}, None, "needs the config of mtls-auth"),
        ({"type": "http", "scheme": "digest"}, None, "which there is not"),
        (
            {"type": "apiKey", "in": "header", "name": "apikey"},
            [{"one": [], "two": []}],
            "together",
        ),
        ({"type": "apiKey", "in": "header", "name": "apikey"}, [{"two": []}], "which is not there"),
        (
            {"type": "apiKey", "in": "header", "name": "apikey"},
            [{"one": ["a:read"]}, {"one": ["b:read"]}],
            "other scopes",
        ),
    ],
)
def test_security_without_an_equivalent_switches_the_route_off_and_is_told(
    scheme: dict[str, Any], requirement: Any, words: str
) -> None:
    found = secured(scheme, requirement)
    assert one_route(found)["enabled"] is False
    assert one_route(found)["auth"]["mode"] == "Required"
    assert any(words in each for each in lost(found))


def test_alternatives_are_several_credentials_and_an_empty_one_makes_them_optional() -> None:
    schemes = {
        "key": {"type": "apiKey", "in": "query", "name": "apikey"},
        "oidc": {
            "type": "openIdConnect",
            "openIdConnectUrl": "https://id.example.com/.well-known/openid-configuration",
        },
    }
    found = imported(
        {"/pets": {"get": OK}},
        components={"securitySchemes": schemes},
        security=[{"key": []}, {"oidc": []}, {}],
    )
    assert one_route(found)["auth"] == {"mode": "Optional", "credentials": ["ApiKey", "JWT"]}
    assert "enabled" not in one_route(found)


def test_a_key_that_is_sent_elsewhere_is_told() -> None:
    found = secured({"type": "apiKey", "in": "cookie", "name": "session"})
    assert one_route(found)["auth"]["credentials"] == ["ApiKey"]
    assert any("not from the cookie 'session'" in each for each in lost(found))


def test_routes_that_are_open_are_counted() -> None:
    notes = [each.message for each in imported({"/a": {"get": OK}, "/b": {"get": OK}}).notes]
    assert "2 routes are open to everybody, as the document says" in notes


def test_an_extension_sets_what_openapi_cannot_say_and_the_inner_one_wins() -> None:
    cors = {"type": "cors", "config": {"allowOrigins": ["https://app.example.com"]}}
    limit = {"type": "rate-limit", "config": {"requests": 5, "window": "1m", "by": ["Route"]}}
    outer = {"plugins": [cors], "route": {"priority": 1}, "backend": {"protocol": "HTTP2"}}
    inner = {"plugins": [limit], "route": {"priority": 2, "retry": {"attempts": 2}}}
    found = imported({"/pets": {"get": {**OK, "x-fluxgate": inner}}}, **{"x-fluxgate": outer})
    spec = one_route(found)
    assert [each["type"] for each in spec["plugins"]] == ["cors", "rate-limit"]
    assert (spec["priority"], spec["retry"]) == (2, {"attempts": 2})
    assert of_kind(found, "Backend")[0]["spec"]["protocol"] == "HTTP2"


def test_the_guides_example_becomes_valid_objects_and_loses_nothing() -> None:
    guide = (Path(__file__).parents[3] / "docs/guide/cli-admin.md").read_text(encoding="utf-8")
    (example,) = (
        block for block in re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL) if "openapi:" in block
    )
    found = import_openapi(OpenApi(yaml.safe_load(example)), Wishes())
    assert (found.invalid, lost(found)) == (0, [])
    assert one_route(found)["retry"] == {"attempts": 2}
    assert of_kind(found, "Backend")[0]["spec"]["timeouts"] == {"request": "10s"}


def test_an_extension_of_another_shape_is_told() -> None:
    found = imported({"/pets": {"get": {**OK, "x-fluxgate": {"plugin": []}}}})
    assert any("holds something else than" in each for each in lost(found))


def test_an_object_that_is_not_valid_is_told_by_its_field() -> None:
    found = imported({"/pets": {"get": {**OK, "x-fluxgate": {"route": {"priorty": 1}}}}})
    assert found.invalid == 1
    assert any("spec.priorty" in each for each in lost(found))


def test_a_server_with_variables_has_their_defaults_and_operations_may_have_their_own() -> None:
    server = {
        "url": "https://{host}/{base}",
        "variables": {"host": {"default": "eu.example.com"}, "base": {"default": "v2"}},
    }
    uploads = {"servers": [{"url": "https://up.example.com"}], **OK}
    found = imported({"/pets": {"get": OK, "post": uploads}}, servers=[server])
    urls = {each["metadata"]["name"]: each["spec"]["url"] for each in of_kind(found, "Backend")}
    assert urls == {
        "pet-store": "https://eu.example.com",
        "pet-store-2": "https://up.example.com",
    }
    by_method = {
        each["spec"]["matches"][0]["methods"][0]: each["spec"] for each in of_kind(found, "Route")
    }
    assert by_method["GET"]["matches"][0]["path"]["value"] == "/v2/pets"
    assert by_method["POST"]["matches"][0]["path"]["value"] == "/pets"
    assert by_method["POST"]["backends"] == [{"name": "pet-store-2"}]


def test_without_a_host_the_route_is_off_until_an_upstream_is_named() -> None:
    found = imported({"/pets": {"get": OK}}, servers=[{"url": "/v1"}])
    assert one_route(found)["enabled"] is False
    assert any("--upstream" in each for each in lost(found))
    named = imported(
        {"/pets": {"get": OK}},
        Wishes(upstream="http://127.0.0.1:9000"),
        servers=[{"url": "/v1"}],
    )
    assert one_route(named)["matches"][0]["path"]["value"] == "/v1/pets"
    assert "enabled" not in one_route(named)
    assert lost(named) == []


def test_names_never_meet() -> None:
    found = imported({"/a-b": {"get": OK}, "/a/b": {"get": OK}, "/A/B": {"get": OK}})
    names = [each["metadata"]["name"] for each in of_kind(found, "Route")]
    assert names == ["pet-store-a-b", "pet-store-a-b-2", "pet-store-a-b-3"]


def test_the_command_writes_a_folder_that_validate_takes(
    fluxgate: Fluxgate, tmp_path: Path
) -> None:
    (tmp_path / "api.yaml").write_text(yaml.safe_dump(document({"/pets/{id}": {"get": OK}})))
    done = fluxgate("import", "openapi", tmp_path / "api.yaml", "--to", tmp_path / "out")
    assert done.code == 0, done.err
    assert "1 Backends, 0 Plugins, 1 Routes" in done.err
    assert fluxgate("validate", tmp_path / "out", "--partial", "--skip-envoy").code == 0
    again = fluxgate("import", "openapi", tmp_path / "api.yaml", "--to", tmp_path / "out")
    assert again.code == ExitCode.USAGE


def test_strict_writes_nothing_when_something_is_lost(fluxgate: Fluxgate, tmp_path: Path) -> None:
    (tmp_path / "api.json").write_text(json.dumps(document({"/a": {"$ref": "other.json"}})))
    arguments = ("import", "openapi", tmp_path / "api.json", "--to", tmp_path / "out")
    assert fluxgate(*arguments, "--strict").code == ExitCode.INVALID
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('swagger: "2.0"', "Swagger 2.0"),
        ("openapi: 4.0.0", "OpenAPI 4.0.0"),
        ("hello: there", "no OpenAPI"),
        ("a: [", "api.yaml: "),
        ("openapi: 3.1.0\n---\nopenapi: 3.1.0", "2 documents"),
    ],
)
def test_what_is_no_openapi_is_refused_by_name(
    fluxgate: Fluxgate, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "api.yaml").write_text(text)
    refused = fluxgate("import", "openapi", tmp_path / "api.yaml")
    assert refused.code == ExitCode.INVALID
    assert words in refused.err
