"""The commands of the document, and what it says they answer, against the real Envoy."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support.admin_gateway import AdminRun, running_admin

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

CREATE = {
    "name": "payments-service-v2",
    "match": {"path": "/api/v2/payments/*", "methods": ["POST", "GET"]},
    "upstream": "https://pay.internal.mesh:8443",
    "plugins": [{"id": "jwt_auth", "config": {"issuer": "https://auth.acme.com"}}],
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def admin(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AdminRun]:
    async with running_admin(tmp_path_factory.mktemp("admin"), {}) as run:
        yield run


async def test_a_new_route_is_answered_with_the_four_fields_once_every_envoy_serves_it(
    admin: AdminRun,
) -> None:
    answer = await admin.call("POST", "/v2/routes", CREATE)
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert set(body) == {"id", "status", "created_at", "sync_status"}
    assert re.fullmatch(r"rt_[a-z0-9]+", body["id"])
    assert body["status"] == "active"
    assert body["sync_status"] == "propagated_to_all_nodes"
    made = dt.datetime.strptime(body["created_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.UTC)
    assert abs((dt.datetime.now(dt.UTC) - made).total_seconds()) < 60
    served = await admin.gateway.get("/api/v2/payments/7")
    assert served.status == 401
    assert (await admin.gateway.get("/api/v2/other")).status == 404


async def test_a_key_without_the_scope_is_refused_in_the_words_of_the_document(
    admin: AdminRun,
) -> None:
    key = await admin.key_for("routes:read")
    answer = await admin.call("POST", "/v2/routes", CREATE, key=key)
    assert answer.status_code == 403
    body = answer.json()
    assert body["error"] == "scope_mismatch"
    assert body["message"] == (
        "Token lacks routes:write permission. Contact org admin to elevate service account."
    )
    assert re.fullmatch(r"req_[0-9a-z]+", body["request_id"])
    assert answer.headers["x-request-id"] == body["request_id"]
