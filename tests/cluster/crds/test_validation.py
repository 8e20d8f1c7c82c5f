"""The real API server takes and refuses what the models take and refuse."""

from __future__ import annotations

import json

import pytest
from support.cluster import ControlPlane
from support.cluster_processes import ClusterError
from unit.api.cases import BAD, GOOD, Bad, Good, document

from fluxgate.api.parse import parse_object
from fluxgate.errors import ResourceError
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import InvalidError, KubeApiError
from fluxgate_operator.kube.types import OUR_TYPES

TYPES = {each.kind: each for each in OUR_TYPES}
STRICT = {"fieldValidation": "Strict", "dryRun": "All"}


async def create(kube: KubeClient, namespace: str, kind: str, spec: dict) -> dict:
    body = document(kind, spec)
    return await kube.request("POST", TYPES[kind].path(namespace), body=body, query=STRICT)


def blames(said: str, path: str) -> bool:
    """Whether a message is about a field: CEL names the object that holds the rule, then the field."""
    parts = path.split(".")
    splits = [(".".join(parts[:at]), ".".join(parts[at:])) for at in range(1, len(parts))]
    return path in said or any(
        f"{holder}: " in said and f"{field}:" in said for holder, field in splits
    )


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
async def test_what_the_models_take_is_taken_and_reads_the_same(
    kube: KubeClient, namespace: str, case: Good
):
    stored = await create(kube, namespace, case.kind, case.spec)
    sent = document(case.kind, case.spec)
    sent["metadata"] = stored["metadata"]
    # The server fills in defaults; they are the models' own, so both parse to the same object.
    assert parse_object(stored) == parse_object(sent)


@pytest.mark.parametrize(
    "case", [each for each in BAD if each.by != "us"], ids=lambda case: case.name
)
async def test_what_the_models_refuse_is_refused_for_the_same_field(
    kube: KubeClient, namespace: str, case: Bad
):
    with pytest.raises(InvalidError) as error:
        await create(kube, namespace, case.kind, case.spec)
    assert blames(str(error.value), case.path), str(error.value)


@pytest.mark.parametrize(
    "case", [each for each in BAD if each.by == "us"], ids=lambda case: case.name
)
async def test_what_only_our_own_check_refuses_is_stored_and_reported_by_it(
    kube: KubeClient, namespace: str, case: Bad
):
    stored = await create(kube, namespace, case.kind, case.spec)
    with pytest.raises(ResourceError) as error:
        parse_object(stored)
    assert case.path in str(error.value)


@pytest.mark.parametrize("kind", TYPES)
async def test_an_unknown_field_is_refused_when_validation_is_strict(
    kube: KubeClient, namespace: str, kind: str
):
    spec = next(each.spec for each in GOOD if each.kind == kind)
    with pytest.raises(KubeApiError, match=r'unknown field "spec\.unheardOf"'):
        await create(kube, namespace, kind, {**spec, "unheardOf": 1})


@pytest.mark.parametrize("kind", TYPES)
def test_kubectl_apply_warns_of_an_unknown_field(
    control_plane: ControlPlane, namespace: str, kind: str
):
    spec = next(each.spec for each in GOOD if each.kind == kind)
    body = json.dumps(document(kind, {**spec, "unheardOf": 1}))
    with pytest.raises(ClusterError, match="unheardOf"):
        control_plane.kubectl("apply", f"--namespace={namespace}", "-f", "-", stdin=body)
