"""An event of an object that nothing was known of before."""

from __future__ import annotations

import pytest

from fluxgate_operator.kube.client import Document
from fluxgate_operator.kube.types import OUR_TYPES
from fluxgate_operator.providers.kubernetes.feed import KindFeed


class Taken:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def put(self, document: Document) -> None:
        self.names.append(document["metadata"]["name"])

    def drop(self, namespace: str, name: str) -> None:
        self.names.remove(name)


@pytest.mark.parametrize("scopes", [(None,), ("shop",), ("shop", "other")])
def test_the_first_object_of_a_kind_is_taken_in(scopes: tuple[str | None, ...]) -> None:
    taken = Taken()
    feed = KindFeed(OUR_TYPES[0], scopes, [taken])

    feed.event(
        "ADDED", {"metadata": {"name": "first", "namespace": "shop", "resourceVersion": "7"}}
    )

    assert taken.names == ["first"]


def test_an_object_of_a_namespace_that_is_not_watched_is_not() -> None:
    taken = Taken()
    feed = KindFeed(OUR_TYPES[0], ("shop",), [taken])

    feed.event("ADDED", {"metadata": {"name": "x", "namespace": "else", "resourceVersion": "7"}})

    assert taken.names == []
