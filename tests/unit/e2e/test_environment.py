"""What a container of the local node is started with, held to core/v1."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest

from e2e.local.environment import arguments_of, decoded, environment_of, expand

POD = {
    "metadata": {
        "name": "web-0",
        "namespace": "shop",
        "labels": {"app": "web"},
        "annotations": {"example.com/note": "hello"},
    },
    "spec": {"serviceAccountName": "web"},
}


class Known:
    """A namespace with one ConfigMap and one Secret."""

    async def data(self, kind: str, name: str) -> Mapping[str, bytes] | None:
        return {
            ("ConfigMap", "settings"): {"mode": b"fast"},
            ("Secret", "password"): {"value": b"hunter2"},
        }.get((kind, name))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(NAME)", "web"),
        ("http://$(NAME):$(PORT)/", "http://web:80/"),
        ("$$(NAME)", "$(NAME)"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$NAME", "$NAME"),
    ],
)
def test_a_reference_to_a_variable_is_expanded_as_the_kubelet_does(text: str, result: str) -> None:
    assert expand(text, {"NAME": "web", "PORT": "80"}) == result


async def test_a_variable_sees_those_declared_before_it() -> None:
    container = {
        "env": [
            {"name": "HOST", "value": "web"},
            {"name": "URL", "value": "http://$(HOST)/$(LATER)"},
            {"name": "LATER", "value": "x"},
        ]
    }

    found = await environment_of(container, POD, "10.0.0.2", Known())

    assert found["URL"] == "http://web/$(LATER)"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web-0"),
        ("metadata.namespace", "shop"),
        ("status.podIP", "10.0.0.2"),
        ("spec.serviceAccountName", "web"),
        ("metadata.labels['app']", "web"),
        ("metadata.annotations['example.com/note']", "hello"),
    ],
)
async def test_the_downward_api_gives_fields_of_the_pod(path: str, value: str) -> None:
    container = {"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}]}

    assert await environment_of(container, POD, "10.0.0.2", Known()) == {"X": value}


async def test_values_come_from_config_maps_and_secrets() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "password", "key": "value"}}}],
    }

    found = await environment_of(container, POD, "", Known())

    assert found == {"mode": "fast", "P": "hunter2"}


async def test_a_missing_key_is_an_error_unless_it_is_optional() -> None:
    reference = {"name": "password", "key": "other"}
    needed = {"env": [{"name": "P", "valueFrom": {"secretKeyRef": reference}}]}
    optional = {
        "env": [{"name": "P", "valueFrom": {"secretKeyRef": {**reference, "optional": True}}}]
    }

    with pytest.raises(LookupError, match="Secret password has no other"):
        await environment_of(needed, POD, "", Known())
    assert await environment_of(optional, POD, "", Known()) == {}


def test_a_command_replaces_the_entry_point_and_args_do_not() -> None:
    entrypoint = ("fluxgate",)

    assert arguments_of({"args": ["run"]}, entrypoint, {}) == ["fluxgate", "run"]
    assert arguments_of({"command": ["envoy"], "args": ["-c", "$(F)"]}, entrypoint, {"F": "x"}) == [
        "envoy",
        "-c",
        "x",
    ]


def test_the_entries_of_a_secret_are_decoded_and_those_of_a_config_map_are_not() -> None:
    encoded = base64.b64encode(b"\x00\x01").decode()

    assert decoded({"kind": "Secret", "data": {"a": encoded}}) == {"a": b"\x00\x01"}
    assert decoded({"kind": "ConfigMap", "data": {"a": "b"}, "binaryData": {"c": encoded}}) == {
        "a": b"b",
        "c": b"\x00\x01",
    }
