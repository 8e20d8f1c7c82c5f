"""How our objects are known again, and when they have to be written."""

from __future__ import annotations

import copy
from typing import Any

from fluxgate.api.v1alpha1 import GatewayConfig
from fluxgate.resources import ObjectRef
from fluxgate_operator.exposure.marks import is_as_wanted, is_made_for, marked, owner_of

CONFIG = GatewayConfig.model_validate(
    {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "GatewayConfig",
        "metadata": {"name": "main", "namespace": "edge", "uid": "u-1"},
        "spec": {"listeners": [{"name": "http", "port": 8080}]},
    }
)
BARE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "fluxgate-main"},
    "spec": {"ports": [{"port": 80}], "selector": {"app": "edge"}},
}


def wanted() -> dict[str, Any]:
    return marked(CONFIG, BARE)


def as_stored() -> dict[str, Any]:
    """As the API server shows it: with defaults and metadata of its own."""
    stored = copy.deepcopy(wanted())
    stored["metadata"] |= {"uid": "s-1", "resourceVersion": "7", "generation": 1}
    stored["metadata"]["labels"]["example.com/cost-centre"] = "7"
    stored["spec"] |= {"clusterIP": "10.0.0.7", "sessionAffinity": "None"}
    stored["spec"]["ports"][0]["protocol"] = "TCP"
    return stored


def test_defaults_of_the_server_and_labels_of_others_are_no_reason_to_write() -> None:
    assert is_as_wanted(as_stored(), wanted())


def test_another_owner_is_no_reason_to_write() -> None:
    stored = as_stored()
    stored["metadata"]["ownerReferences"].insert(0, {"kind": "App", "name": "x", "uid": "a-1"})
    assert is_as_wanted(stored, wanted())


def test_a_missing_owner_a_changed_field_or_one_port_more_is() -> None:
    no_owner, edited, more = as_stored(), as_stored(), as_stored()
    no_owner["metadata"]["ownerReferences"] = []
    edited["spec"]["selector"] = {"app": "other"}
    more["spec"]["ports"].append({"port": 81})
    assert not any(is_as_wanted(each, wanted()) for each in (no_owner, edited, more))


def test_what_is_not_wanted_any_more_shows_in_the_digest() -> None:
    """Otherwise an annotation that was taken out of the spec would stay for ever."""
    before = marked(CONFIG, {**BARE, "metadata": {"name": "x", "annotations": {"a": "1"}}})
    now = marked(CONFIG, {**BARE, "metadata": {"name": "x"}})
    assert not is_as_wanted(before, now)


def test_ours_is_what_has_our_labels_and_our_owner() -> None:
    assert owner_of(wanted()) == ObjectRef("GatewayConfig", "edge", "main")
    for spoilt in ("labels", "ownerReferences"):
        other = wanted()
        del other["metadata"][spoilt]
        assert owner_of(other) is None


def test_one_that_lost_its_labels_is_ours_by_its_controller() -> None:
    stripped = as_stored()
    del stripped["metadata"]["labels"]
    assert is_made_for(stripped, wanted())


def test_one_of_the_same_name_is_not_ours() -> None:
    assert not is_made_for(BARE, wanted())
    stripped = as_stored()
    del stripped["metadata"]["labels"]
    stripped["metadata"]["ownerReferences"][0]["uid"] = "u-2"
    assert not is_made_for(stripped, wanted())
