"""From documents to objects: what is taken, and how a mistake is reported."""

from __future__ import annotations

import base64
import datetime as dt

import pytest
from unit.api.cases import BAD, GOOD, KEY, Bad, Good, document

from fluxgate.api.parse import parse_object
from fluxgate.api.v1alpha1 import duration_ms
from fluxgate.errors import ResourceError
from fluxgate.resources import Secret


def problems(written: dict) -> dict[str, str]:
    with pytest.raises(ResourceError) as raised:
        parse_object(written)
    return {problem.path: problem.message for problem in raised.value.problems}


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_right_objects_are_taken(case: Good):
    assert parse_object(document(case.kind, case.spec)).kind == case.kind


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_wrong_objects_are_refused_at_their_field(case: Bad):
    assert list(problems(document(case.kind, case.spec))) == [case.path]


def test_every_problem_is_reported_at_once():
    spec = {"hosts": ["A"], "priority": "high", "backends": [{}]}
    assert set(problems(document("Route", spec))) == {
        "spec.hosts[0]",
        "spec.priority",
        "spec.backends[0]",
    }


def test_an_unknown_field_suggests_the_nearest():
    found = problems(document("Route", {"matches": [{"queryParam": []}]}))
    assert "did you mean queryParams?" in found["spec.matches[0].queryParam"]


def test_the_old_name_of_a_field_suggests_the_new_one():
    found = problems(document("Route", {"retry": {"on": ["5xx"]}}))
    assert "did you mean retryOn?" in found["spec.retry.on"]


def test_a_suggestion_is_a_whole_word_of_the_name():
    found = problems(document("Route", {"ion": "a"}))
    assert "did you mean" not in found["spec.ion"]


def test_python_names_are_not_field_names():
    found = problems(document("Route", {"rate_limit": {"plan": "a"}}))
    assert "did you mean rateLimit?" in found["spec.rate_limit"]


def test_a_broken_item_is_not_also_reported_as_a_list_that_is_too_short():
    assert list(problems(document("GatewayConfig", {"listeners": [{"name": "a"}]}))) == [
        "spec.listeners[0].port"
    ]


def test_an_unknown_kind_is_told_the_known_ones():
    found = problems(document("Rout", {}))
    assert "did you mean Route?" in found["kind"]
    assert "Upstream" in found["kind"]


def test_an_unknown_group_is_told_the_known_one():
    found = problems(document("Route", {}) | {"apiVersion": "apps/v1"})
    assert "gateway.fluxgate.io/v1alpha1" in found["apiVersion"]


def test_the_error_names_the_object():
    with pytest.raises(ResourceError) as raised:
        parse_object(
            document("Route", {"no": 1}) | {"metadata": {"name": "x", "namespace": "team"}}
        )
    assert raised.value.subject == "Route team/x"


def test_fields_that_api_servers_add_are_tolerated():
    metadata = {"name": "x", "creationTimestamp": None, "managedFields": [{"manager": "kubectl"}]}
    parsed = parse_object(
        document("Route", {}) | {"metadata": metadata, "status": {"any": "thing"}}
    )
    assert parsed.metadata.creation_timestamp == ""


def test_times_that_yaml_has_read_are_taken():
    when = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    assert parse_object(document("ApiKey", {**KEY, "expiresAt": when})).spec.expires_at == when


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({1: 2}, "spec.config"),
        ({"a": float("nan")}, "spec.config.a"),
        ({"a": [b"x"]}, "spec.config.a[0]"),
        ({"a": "\ud800"}, "spec.config.a"),
        ({"a": 2**70}, "spec.config.a"),
    ],
)
def test_what_json_cannot_say_is_refused_where_it_stands(value, path):
    assert list(problems(document("Plugin", {"type": "cors", "config": value}))) == [path]


def test_an_object_that_holds_itself_is_refused():
    loop: dict = {}
    loop["a"] = loop
    (message,) = problems(document("Plugin", {"type": "cors", "config": loop})).values()
    assert "levels deep" in message


class TestSecrets:
    def secret(self, **fields: object) -> dict:
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, **fields}

    def test_data_is_decoded_and_string_data_laid_over_it(self):
        data = {"a": base64.b64encode(b"one").decode(), "b": base64.b64encode(b"two").decode()}
        parsed = parse_object(self.secret(data=data, stringData={"b": "three"}))
        assert isinstance(parsed, Secret)
        assert {name: value.reveal() for name, value in parsed.data.items()} == {
            "a": b"one",
            "b": b"three",
        }

    def test_no_message_holds_a_value(self):
        with pytest.raises(ResourceError) as raised:
            parse_object(self.secret(data={"a": "not!base64"}, stringData={"b": 12345}))
        assert {each.path for each in raised.value.problems} == {"data.a", "stringData.b"}
        assert "not!base64" not in str(raised.value)
        assert "12345" not in str(raised.value)

    def test_a_secret_prints_redacted(self):
        assert "hush" not in repr(parse_object(self.secret(stringData={"a": "hush"})))


@pytest.mark.parametrize(
    ("text", "expected"), [("500ms", 500), ("30s", 30_000), ("1m30s", 90_000), ("1h", 3_600_000)]
)
def test_durations_are_those_of_the_gateway_api(text, expected):
    assert duration_ms(text) == expected
