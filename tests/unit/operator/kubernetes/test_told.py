"""What kopf's process tells goes through the pipe as it was, in frames of bounded size."""

from __future__ import annotations

import asyncio
import json

from fluxgate_operator.kube.types import SERVICES
from fluxgate_operator.providers.kubernetes.feed import KindFeed
from fluxgate_operator.providers.kubernetes.told import (
    HEAD,
    News,
    Record,
    Told,
    frames,
    object_bytes,
    unframe,
)


def through_the_pipe(records):
    found = []
    for frame in frames(records):
        head, rest = frame[: HEAD.size], frame[HEAD.size :]
        assert sum(HEAD.unpack(head)) == len(rest)
        found += unframe(head, rest)
    return found


def test_records_come_out_as_they_went_in():
    records = [
        Record(News.SEEN, 3, "default", "a", "17", b'{"x": "\xc3\xa9"}'),
        Record(News.GONE, 0, "", "b", "18"),
        Record(News.LISTED, 7),
        Record(News.ENDED, body="an é".encode()),
    ]
    assert through_the_pipe(records) == records


def test_many_records_and_large_ones_make_more_frames():
    small = [Record(News.GONE, name=str(each)) for each in range(250)]
    assert len(list(frames(small))) == 3
    large = [Record(News.SEEN, body=b"x" * 40_000) for _ in range(5)]
    assert len(list(frames(large))) == 3
    assert through_the_pipe(large) == large


def test_nothing_makes_no_frame():
    assert list(frames([])) == []


def test_managed_fields_are_left_behind_and_the_object_as_it_was():
    document = {"metadata": {"name": "a", "managedFields": [{}]}, "spec": {"b": "é"}}
    assert json.loads(object_bytes(document)) == {"metadata": {"name": "a"}, "spec": {"b": "é"}}
    assert document["metadata"]["managedFields"] == [{}]


class Heard:
    def __init__(self):
        self.names = []

    def put(self, document):
        self.names.append(document["metadata"]["name"])

    def drop(self, namespace, name):
        self.names.append(f"no {name}")


async def test_an_object_whose_version_is_known_is_not_decoded():
    heard = Heard()
    feed = KindFeed(SERVICES, [None], [heard])
    body = object_bytes({"metadata": {"name": "a"}})
    assert feed.event(Told(News.SEEN, SERVICES, "default", "a", "5", body))
    assert not feed.event(Told(News.SEEN, SERVICES, "default", "a", "5", b"no JSON"))
    assert not feed.event(Told(News.SEEN, SERVICES, "default", "a", "4", b"no JSON"))
    assert feed.event(Told(News.GONE, SERVICES, "default", "a", "6"))
    assert not feed.event(Told(News.GONE, SERVICES, "default", "a", "6"))
    assert heard.names == ["a", "no a"]
    await asyncio.sleep(0)
