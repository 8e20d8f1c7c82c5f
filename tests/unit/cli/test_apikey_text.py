"""Making and revoking ApiKey manifests as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
import yaml

from fluxgate.api.v1alpha1 import ApiKey
from fluxgate_cli import apikey_text

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

MANIFEST = """\
# who: the nightly import
apiVersion: gateway.fluxgate.io/v1alpha1
kind: ApiKey
metadata:
  name: nightly   # do not rename
spec:
  # made by hand
  hash: "aa"
  plan: 'demo'

---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: ApiKey
metadata: {name: other, namespace: shop}
spec: {hash: bb, revoked: false}
"""


def test_a_revoked_key_keeps_every_line_that_was_there() -> None:
    edited = apikey_text.revoke(MANIFEST, "default", "nightly", NOW)
    assert edited is not None
    added = [line for line in edited.splitlines() if line not in MANIFEST.splitlines()]
    assert added == ["  revoked: true", '  revokedAt: "2026-03-04T05:06:07Z"']
    assert [line for line in edited.splitlines() if line not in added] == MANIFEST.splitlines()


def test_a_revoked_key_is_revoked_and_its_neighbour_is_not() -> None:
    edited = apikey_text.revoke(MANIFEST, "default", "nightly", NOW)
    assert edited is not None
    first, second = yaml.safe_load_all(edited)
    assert first["spec"] == {
        "hash": "aa",
        "plan": "demo",
        "revoked": True,
        "revokedAt": "2026-03-04T05:06:07Z",
    }
    assert second["spec"] == {"hash": "bb", "revoked": False}


def test_a_key_in_flow_style_is_edited_in_place() -> None:
    edited = apikey_text.revoke(MANIFEST, "shop", "other", NOW)
    assert edited is not None
    _, second = yaml.safe_load_all(edited)
    assert second["spec"]["revoked"] is True
    assert second["spec"]["revokedAt"] == "2026-03-04T05:06:07Z"
    assert len(edited.splitlines()) == len(MANIFEST.splitlines())


def test_a_key_that_says_revoked_false_is_changed_there() -> None:
    text = MANIFEST.replace("  plan: 'demo'", "  revoked: false  # so far\n  plan: 'demo'")
    edited = apikey_text.revoke(text, "default", "nightly", NOW)
    assert edited is not None
    assert "  revoked: true  # so far\n" in edited
    assert edited.count("revoked:") == text.count("revoked:")


@pytest.mark.parametrize(("namespace", "name"), [("default", "other"), ("shop", "nightly")])
def test_a_key_of_another_namespace_is_not_touched(namespace: str, name: str) -> None:
    assert apikey_text.revoke(MANIFEST, namespace, name, NOW) is None


def test_a_rendered_key_reads_back_as_the_same_key() -> None:
    key = ApiKey.model_validate(
        {
            "kind": "ApiKey",
            "metadata": {"name": "ci", "namespace": "shop"},
            "spec": {
                "hash": "0" * 64,
                "prefix": "flx_live_",
                "lastFour": "Ab12",
                "scopes": ["orders:read"],
                "allowedCidrs": ["10.0.0.0/8"],
                "expiresAt": NOW,
            },
        }
    )
    text = apikey_text.render(key)
    assert ApiKey.model_validate(yaml.safe_load(text)) == key
    assert "revoked" not in text
    assert "expiresAt: '2026-03-04T05:06:07Z'" in text


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90d", timedelta(days=90)),
        ("12h", timedelta(hours=12)),
        ("30m", timedelta(minutes=30)),
        ("45s", timedelta(seconds=45)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_a_length_of_time_is_a_number_and_a_unit(text: str, span: timedelta) -> None:
    assert apikey_text.parse_span(text) == span


@pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "1.5h", "1y", "1d "])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write for example 90d"):
        apikey_text.parse_span(text)


@pytest.mark.parametrize(
    ("text", "name"), [("ci", "ci"), ("Build Server #2", "build-server-2"), ("--x--", "x")]
)
def test_a_free_name_becomes_an_object_name(text: str, name: str) -> None:
    assert apikey_text.object_name(text) == name


def test_a_name_without_letters_is_refused() -> None:
    with pytest.raises(ValueError, match="no letter or digit"):
        apikey_text.object_name("…")


def test_times_are_written_in_utc() -> None:
    east = timezone(timedelta(hours=2))
    assert apikey_text.rfc3339(datetime(2026, 1, 1, 1, tzinfo=east)) == "2025-12-31T23:00:00Z"
