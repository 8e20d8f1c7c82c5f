"""Objects stored under an older, looser schema live on when the CRDs become stricter."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cluster import OwnControlPlane
from support.statuses import until_said

from fluxgate.api.parse import parse_object
from fluxgate.errors import ResourceError
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import InvalidError
from fluxgate_operator.kube.types import OUR_TYPES

OLDER = Path(__file__).with_name("older")
UPSTREAMS = next(each for each in OUR_TYPES if each.kind == "Upstream")
ACCEPTED = {
    "type": "Accepted",
    "status": "False",
    "reason": "Invalid",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
ONE = {"host": "a", "port": 1}
INVALID = {
    "a port of zero": ({"targets": [{"host": "a", "port": 0}]}, "spec.targets[0].port"),
    "a target twice": ({"targets": [ONE, ONE]}, "spec.targets"),
    "an unknown policy": ({"loadBalancing": {"policy": "Best"}}, "spec.loadBalancing.policy"),
    "a broken rule": ({"loadBalancing": {"hashOn": {"type": "SourceIP"}}}, "hashOn"),
    "no duration": ({"targets": [ONE], "connectTimeout": "soon"}, "spec.connectTimeout"),
}


def upstream(name: str, spec: dict) -> dict:
    return {
        "apiVersion": UPSTREAMS.api_version,
        "kind": "Upstream",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


@pytest.mark.slow
async def test_stored_objects_that_became_invalid_stay_readable_and_can_be_told_so(
    own_control_plane: OwnControlPlane,
):
    own_control_plane.install_crds(OLDER)
    async with KubeClient(await load_access(own_control_plane.kubeconfig, None, {})) as kube:
        names = {text.replace(" ", "-"): case for text, case in INVALID.items()}
        for name, (spec, _) in names.items():
            await kube.create(UPSTREAMS, "default", upstream(name, spec))
        await kube.create(UPSTREAMS, "default", upstream("coloured", {"colour": "red"}))
        own_control_plane.install_crds()

        async def by_name() -> dict[str, Document]:
            return {each["metadata"]["name"]: each for each in (await kube.list(UPSTREAMS)).items}

        # a field that is gone is pruned when the object is read, once the new schema is in force
        listed = await until_said(by_name, lambda found: "colour" not in found["coloured"]["spec"])
        assert set(listed) == {*names, "coloured"}
        parse_object(listed["coloured"])

        for name, (_, path) in names.items():
            with pytest.raises(ResourceError) as error:
                parse_object(listed[name])
            assert path in str(error.value)
            # the status can be written, and metadata: what is not touched is not judged again
            told = await kube.merge_patch(
                UPSTREAMS, "default", name, {"status": {"conditions": [ACCEPTED]}},
                subresource="status",
            )  # fmt: skip
            assert told["status"]["conditions"] == [ACCEPTED]
            labelled = {"metadata": {"labels": {"a": "b"}}}
            await kube.merge_patch(UPSTREAMS, "default", name, labelled)
            described = await kube.merge_patch(
                UPSTREAMS, "default", name, {"spec": {"description": "still here"}}
            )
            assert described["spec"]["description"] == "still here"

        # what is touched is judged by the new rules, and what is put right is taken
        worse = {"spec": {"targets": [{"host": "a", "port": -1}]}}
        with pytest.raises(InvalidError):
            await kube.merge_patch(UPSTREAMS, "default", "a-port-of-zero", worse)
        right = {"spec": {"targets": [ONE]}}
        put_right = await kube.merge_patch(UPSTREAMS, "default", "a-port-of-zero", right)
        parse_object(put_right)
