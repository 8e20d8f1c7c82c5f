"""The values files of the guide, as Helm renders them."""

from __future__ import annotations

import pytest
import yaml
from support.documentation import GUIDE, values_files
from support.helm import CHART, Helm, Manifest
from support.manifests import problems_of

_TEMPLATES = ("workload", "serviceaccount", "service", "gatewayconfig")


def _key(document: Manifest) -> tuple[str, str]:
    return document["kind"], document["metadata"]["name"]


@pytest.mark.parametrize(("line", "text"), values_files(GUIDE))
def test_a_values_file_of_the_guide_renders_valid_objects(helm: Helm, line: int, text: str) -> None:
    objects = helm.template(yaml.safe_load(text), namespace="fluxgate-system")
    assert {each["kind"] for each in objects} >= {"Deployment", "GatewayConfig"}
    assert [problem for each in objects for problem in problems_of(each)] == []


def test_a_second_fleet_is_made_of_the_templates_the_guide_names(helm: Helm) -> None:
    text = GUIDE.read_text()
    shown = [f"templates/gateway/{name}.yaml" for name in _TEMPLATES]
    assert [name for name in shown if f"-s {name}" not in text] == []
    chosen = [part for name in shown for part in ("-s", name)]
    made = helm(
        "template", "fluxgate", str(CHART), *chosen, values={"gateway": {"name": "internal"}}
    )
    renamed = made.replace("fluxgate-gateway", "fluxgate-internal").replace(
        "component: gateway", "component: internal"
    )
    first = {_key(each) for each in helm.template({}, namespace="default")}
    second = {_key(each) for each in yaml.safe_load_all(renamed) if each}
    assert len(second) == 5
    assert first & second == set()
    deployment = next(each for each in yaml.safe_load_all(renamed) if each["kind"] == "Deployment")
    assert "--gateway=internal" in str(deployment)
    assert "fluxgate-controller." in str(deployment)
