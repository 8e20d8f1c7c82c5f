"""Diffs of documents, as people read them."""

from __future__ import annotations

from support.history import route

from fluxgate_admin.use_cases.diff import unified_diff

NAME = "Route default/orders"


def test_a_change_is_shown_with_its_surroundings() -> None:
    assert unified_diff(route(path="/a"), route(path="/b"), NAME, context=1) == (
        "--- a/Route default/orders\n"
        "+++ b/Route default/orders\n"
        "@@ -13,2 +13,2 @@\n"
        "       type: Prefix\n"
        "-      value: /a\n"
        "+      value: /b\n"
    )


def test_equal_documents_have_no_diff_however_their_fields_are_ordered() -> None:
    turned = dict(reversed(route().items()))
    turned["status"] = {"conditions": []}
    assert unified_diff(route(), turned, NAME) == ""


def test_a_new_object_is_all_additions_and_a_deleted_one_all_removals() -> None:
    created = unified_diff(None, route(), NAME).splitlines()
    deleted = unified_diff(route(), None, NAME).splitlines()
    assert created[:2] == ["--- /dev/null", "+++ b/Route default/orders"]
    assert deleted[:2] == ["--- a/Route default/orders", "+++ /dev/null"]
    assert {line[0] for line in created[3:]} == {"+"}
    assert {line[0] for line in deleted[3:]} == {"-"}


def test_bookkeeping_is_not_shown() -> None:
    kept = route()
    kept["metadata"] = {
        **kept["metadata"],
        "uid": "1",
        "resourceVersion": "7",
        "annotations": {"gateway.fluxgate.io/created-at": "2030-01-01T00:00:00Z"},
    }
    assert unified_diff(route(), kept, NAME) == ""


def test_words_of_every_language_are_legible() -> None:
    named = route()
    named["metadata"] = {**named["metadata"], "annotations": {"note": "größer 東京"}}
    assert "+    note: größer 東京\n" in unified_diff(route(), named, NAME)
