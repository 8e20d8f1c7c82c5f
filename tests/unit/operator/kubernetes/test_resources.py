"""Objects of our kinds, good and bad."""

from __future__ import annotations

from fluxgate.resources import ObjectRef, ResourceStore
from fluxgate_operator.providers.kubernetes.references import References
from fluxgate_operator.providers.kubernetes.resources import ResourceBook

REF = ObjectRef("Upstream", "default", "u")


def upstream(version, host="192.0.2.1", generation=1, **more):
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Upstream",
        "metadata": {
            "namespace": "default",
            "name": "u",
            "uid": "1",
            "resourceVersion": version,
            "generation": generation,
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {"targets": [{"host": host, "port": 80}]},
        **more,
    }


def test_a_bad_object_is_named_and_its_last_good_form_stays():
    store = ResourceStore()
    book = ResourceBook(store)
    book.put("Upstream", upstream("1"))
    bad = upstream("2", generation=2)
    bad["spec"]["targets"][0]["port"] = "http"
    assert book.put("Upstream", bad)
    assert store.get(REF).spec.targets[0].port == 80
    assert [each.path for each in book.troubled()[REF].problems] == ["spec.targets[0].port"]
    assert book.put("Upstream", upstream("3", "192.0.2.3", generation=3))
    assert not book.troubled()
    assert store.get(REF).spec.targets[0].host == "192.0.2.3"


def test_a_bad_object_goes_with_its_deletion():
    store = ResourceStore()
    book = ResourceBook(store)
    book.put("Upstream", {**upstream("1"), "spec": {"targets": "none"}})
    assert book.drop(REF)
    assert (book.facts(REF), dict(book.troubled()), store.get(REF)) == (None, {}, None)


def test_a_status_is_a_fact_and_costs_no_parse():
    store = ResourceStore()
    book = ResourceBook(store)
    book.put("Upstream", upstream("1"))
    before, revision = store.get(REF), store.revision
    book.put("Upstream", upstream("2", status={"conditions": []}))
    assert store.get(REF) is before
    assert store.revision == revision
    assert book.facts(REF).status == {"conditions": []}
    assert book.facts(REF).resource_version == "2"


def test_a_label_counts_although_the_generation_stays():
    store = ResourceStore()
    book = ResourceBook(store)
    book.put("Upstream", upstream("1"))
    labelled = upstream("2")
    labelled["metadata"]["labels"] = {"a": "b"}
    book.put("Upstream", labelled)
    assert store.get(REF).metadata.labels == {"a": "b"}


def test_references_come_and_go_with_who_refers():
    store = ResourceStore()
    book, references = ResourceBook(store), References(store)
    tls = upstream("1")
    tls["spec"]["tls"] = {"caCertificateRef": {"name": "ca"}}
    book.put("Upstream", tls)
    assert references.recount()
    assert references.of("Secret") == {("default", "ca")}
    assert not references.recount()
    book.put("Upstream", upstream("2", generation=2))
    assert references.recount()
    assert references.of("Secret") == frozenset()
    book.put("Upstream", {**tls, "metadata": {**tls["metadata"], "generation": 3}})
    references.recount()
    book.drop(REF)
    assert references.recount()
    assert references.of("Secret") == frozenset()
