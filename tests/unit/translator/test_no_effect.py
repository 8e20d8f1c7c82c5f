"""No field of a model is silently ignored."""

from __future__ import annotations

import pytest
from unit.translator.fields import Field, every_path, fields_read
from unit.translator.world import World, edge, obj, route

from fluxgate.translator.no_effect import NO_EFFECT, SAID_ELSEWHERE


@pytest.fixture(scope="module")
def read() -> set[Field]:
    return fields_read(pytest.MonkeyPatch())


def listed(kind: str, path: str) -> bool:
    """Whether a path stands in one of the tables, itself or with what holds it."""
    plain = path.replace("[]", "")
    unused = [each.path for each in NO_EFFECT.get(kind, ())]
    known = [each.replace("[]", "") for each in (*unused, *SAID_ELSEWHERE.get(kind, ()))]
    return any(plain == each or plain.startswith(f"{each}.") for each in known)


def test_every_field_is_translated_or_listed_as_without_effect(read: set[Field]):
    ignored = [f"{kind} {path}" for kind, path, field in every_path() if field not in read]
    assert [each for each in ignored if not listed(*each.split(" "))] == []


def test_nothing_that_is_translated_is_listed(read: set[Field]):
    # exposure.ports say which port of HTTP/3 clients are told, wherever the way in is made
    shared = {"Quota", "SecretRef", "Exposure", "ExposedPort"}
    read = {field for field in read if field[0] not in shared}
    read -= {("GatewayConfigSpec", "exposure")}
    translated = [f"{kind} {path}" for kind, path, field in every_path() if field in read]
    assert [each for each in translated if listed(*each.split(" "))] == []


def test_every_listed_path_is_a_field():
    paths = {(kind, path.replace("[]", "")) for kind, path, _ in every_path()}
    unused = [(kind, each.path) for kind, table in NO_EFFECT.items() for each in table]
    said = [(kind, each) for kind, table in SAID_ELSEWHERE.items() for each in table]
    assert [
        each for each in (*unused, *said) if (each[0], each[1].replace("[]", "")) not in paths
    ] == []


@pytest.mark.parametrize(
    ("made", "path"),
    [
        (edge(logging={"level": "debug"}), "spec.logging.level"),
        (edge(exposure={"kind": "Ingress"}), "spec.exposure"),
        (obj("Backend", "b", {"url": "http://127.0.0.1:1", "weight": 3}), "spec.weight"),
        (obj("Tenant", "t", {"environment": "Test"}), "spec.environment"),
        (route(workspace="w"), "spec.workspace"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_object_names_its_fields_without_effect(made, path):
    world = World(*([] if made.kind == "GatewayConfig" else [edge()]), made)
    assert world.verdict(made.kind, made.metadata.name) == (True, "PartiallyAccepted")
    assert world.message(made.kind, made.metadata.name) == f"{path}: has no effect in this version"


def test_a_default_written_out_is_nothing_to_report():
    world = World(edge(logging={"level": "info"}, exposure={"kind": "None"}))
    assert world.verdict("GatewayConfig", "edge") == (True, "Accepted")
