"""The OpenAPI document says what the API does: who may, what is taken, and every answer there is."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator, validate
from support.admin_gateway import AdminRun, running_admin

from fluxgate_admin.auth.scopes import ANY, PUBLIC, known

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]
HERE = Path(__file__).parent
Operation = tuple[str, str, dict[str, Any]]

OPEN_TO_EVERYBODY = {"healthz", "readyz", "issue_token", "get_jwks"}
OF_ANYBODY_WITH_A_CREDENTIAL = {"who_am_i", "rotate_credential"}
QUESTIONS = {"validate_config", "explain"}
"""By POST, and nothing is changed."""
BY_THE_SCOPES_OF_KINDS = {
    "list_objects",
    "get_object",
    "put_object",
    "delete_object",
    "apply_objects",
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def admin(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AdminRun]:
    async with running_admin(tmp_path_factory.mktemp("admin"), {}, wait=5.0) as run:
        yield run


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def document(admin: AdminRun) -> dict[str, Any]:
    found: dict[str, Any] = (await admin.client.get("/openapi.json")).json()
    return found


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


async def test_every_operation_declares_its_scope_and_how_callers_prove_who_they_are(
    document: dict[str, Any],
) -> None:
    assert document["openapi"].startswith("3.1")
    for method, path, operation in operations(document):
        name, scope = operation["operationId"], operation["x-required-scope"]
        where = f"{method} {path}"
        if name in OPEN_TO_EVERYBODY:
            assert (scope, operation["security"]) == (PUBLIC, []), where
        elif name in OF_ANYBODY_WITH_A_CREDENTIAL | BY_THE_SCOPES_OF_KINDS:
            assert scope == ANY, where
        else:
            assert known(scope), where
            reads = method == "get" or name in QUESTIONS
            assert scope.endswith(":read") == reads, where
        if scope != PUBLIC:
            assert {tuple(each) for each in operation["security"]} == {
                ("key",),
                ("bearer",),
                ("oauth",),
            }, where


async def test_every_body_has_an_example_and_it_is_one(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert "example" in content, f"{method} {path}"
            schema = {**content["schema"], "components": document["components"]}
            validate(content["example"], schema, Draft202012Validator)


async def test_the_examples_of_routes_plugins_and_questions_are_taken_as_they_stand(
    admin: AdminRun, document: dict[str, Any]
) -> None:
    examples = {
        operation["operationId"]: (method, path, content.get("example"))
        for method, path, operation in operations(document)
        for content in operation.get("requestBody", {}).get("content", {}).values()
    }
    for name in (
        "create_route",
        "create_plugin",
        "put_object",
        "apply_objects",
        "update_global_config",
    ):
        method, path, body = examples[name]
        target = path.format(kind="Backend", namespace="default", name="payments")
        answer = await admin.call(method.upper(), f"{target}?dry_run=true", body)
        assert answer.status_code == 200, (name, answer.text)
        assert not answer.json().get("problems"), (name, answer.text)
    for name in ("validate_config", "explain"):
        method, path, body = examples[name]
        assert (await admin.call(method.upper(), path, body)).status_code == 200, name


async def test_who_lacks_the_scope_of_an_operation_is_refused_by_it(
    admin: AdminRun, document: dict[str, Any]
) -> None:
    key = await admin.key_for("apikeys:read")
    for method, path, operation in operations(document):
        scope = operation["x-required-scope"]
        if scope in (PUBLIC, ANY):
            continue
        url = path.replace("{revision}", "1").replace("{id}", "rt_a")
        answer = await admin.client.request(method, url, headers={"x-fluxgate-key": key})
        assert answer.status_code == 403, (method, path, answer.text)
        assert answer.json()["error"] == "scope_mismatch"
        assert answer.json()["scope"] == scope
        nobody = await admin.client.request(method, url)
        assert nobody.status_code == 401, (method, path)


async def test_objects_take_the_scope_of_their_kind(admin: AdminRun) -> None:
    key = await admin.key_for("routes:read")
    assert (await admin.call("GET", "/v2/objects?kind=Route", key=key)).status_code == 200
    for kind, scope in (("Plugin", "plugins:read"), ("GatewayConfig", "configs:read")):
        answer = await admin.call("GET", f"/v2/objects?kind={kind}", key=key)
        assert answer.status_code == 403
        assert answer.json()["scope"] == scope
    url = "/v2/objects/Route/default/x"
    answer = await admin.call("DELETE", url, key=key)
    assert (answer.status_code, answer.json()["scope"]) == (403, "routes:write")


async def test_every_operation_has_an_id_a_description_and_documented_refusals(
    document: dict[str, Any],
) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        assert operation.get("description"), where
        for status, answer in operation["responses"].items():
            assert answer["description"], (where, status)
            if int(status) >= 400:
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorShape"}, (where, status)
        if operation["x-required-scope"] != PUBLIC:
            assert operation["responses"].keys() >= {"400", "401", "403", "429", "503"}, where
    for schema in ("HTTPValidationError", "ValidationError"):
        assert schema not in document["components"]["schemas"]


async def test_no_request_breaks_the_api_and_every_answer_is_documented(
    admin: AdminRun, tmp_path: Path
) -> None:
    """Schemathesis with all of its checks: every boundary of every field, some 12,000 requests, and more at random.

    ``FLUXGATE_FUZZ`` is how many at random for every operation.
    """
    examples = os.environ.get("FLUXGATE_FUZZ", "4")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli"),
        *("--config-file", str(HERE / "schemathesis.toml")),
        *("run", f"{admin.client.base_url}/openapi.json"),
        *(
            "-H",
            f"X-Fluxgate-Key: {admin.key}",
            "--seed",
            "1",
            "--phases",
            "examples,coverage,fuzzing,stateful",
        ),
        *("--max-examples", examples, "--checks", "all", "--continue-on-failure"),
        # it would replace the key that everything is called with
        *("--exclude-operation-id", "rotate_credential", "--warnings", "off", "--no-color"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()[-20_000:]
    assert b"Test cases:" in said
