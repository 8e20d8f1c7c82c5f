"""An event of an object that nothing was known of before."""

from __future__ import annotations

import pytest

from fluxgate_operator.kube.client import Document
from fluxgate_operator.kube.types import OUR_TYPES
from fluxgate_operator.providers.kubernetes.feed import KindFeed
from fluxgate_operator.providers.kubernetes.told import News, Told, object_bytes


class Taken:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def put(self, document: Document) -> None:
        self.names.append(document["metadata"]["name"])

    def drop(self, namespace: str, name: str) -> None:
        self.names.remove(name)


def seen(namespace: str, name: str, version: str) -> Told:
    meta = {"name": name, "namespace": namespace, "resourceVersion": version}
    return Told(News.SEEN, OUR_TYPES[0], namespace, name, version, object_bytes({"metadata": meta}))


@pytest.mark.parametrize("scopes", [(None,), ("shop",), ("shop", "other")])
def test_the_first_object_of_a_kind_is_taken_in(scopes: tuple[str | None, ...]) -> None:
    taken = Taken()
    feed = KindFeed(OUR_TYPES[0], scopes, [taken])

    assert feed.event(seen("shop", "first", "7"))

    assert taken.names == ["first"]


def test_an_object_of_a_namespace_that_is_not_watched_is_not() -> None:
    taken = Taken()
    feed = KindFeed(OUR_TYPES[0], ("shop",), [taken])

    assert not feed.event(seen("else", "x", "7"))

    assert taken.names == []
