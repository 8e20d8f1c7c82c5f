"""What publishing costs the xDS server: ``python bench/xds_streams.py [streams]``.

Prints, for one changed RouteConfiguration of 3 MB beside 10,000 clusters: the time from
publish to the encoded response, the copy alone; the first response of 10,000 clusters, the
whole bring-up and the reconnect with initial versions for each of many streams; the memory of
a stream; and one push to all of them. No sockets: this is the server's own work.
"""

from __future__ import annotations

import gc
import itertools
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3

from fluxgate.snapshot import ResourceSet, Snapshot, SnapshotResource
from fluxgate.xds.typeurl import CLUSTER, ENDPOINT, ROUTE
from fluxgate_xds.changes import ChangeLog
from fluxgate_xds.delta import DeltaSession
from fluxgate_xds.typestream import Response
from fluxgate_xds.views import Views
from fluxgate_xds.wire import DeltaEncoder

ROUTES = 10_000
TABLE_BYTES = 3_000_000


def milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def snapshots(count: int) -> list[Snapshot]:
    names = [f"cluster-{number}" for number in range(ROUTES)]
    clusters = [
        SnapshotResource.of(CLUSTER, n, b"c" * 150, references=[(ENDPOINT, n)]) for n in names
    ]
    endpoints = [SnapshotResource.of(ENDPOINT, name, b"e" * 60) for name in names]
    fixed = {CLUSTER: ResourceSet.of(clusters), ENDPOINT: ResourceSet.of(endpoints)}
    targets = [(CLUSTER, name) for name in names]
    tables = [
        SnapshotResource.of(ROUTE, "main", bytes([number]) * TABLE_BYTES, references=targets)
        for number in range(count)
    ]
    return [Snapshot.of_sets({**fixed, ROUTE: ResourceSet.of([table])}) for table in tables]


def request(url: str, *names: str, nonce: str = "") -> discovery_v3.DeltaDiscoveryRequest:
    return discovery_v3.DeltaDiscoveryRequest(
        type_url=url, resource_names_subscribe=names, response_nonce=nonce
    )


def start(snapshot: Snapshot, views: Views, encoder: DeltaEncoder) -> DeltaSession:
    """A stream that has asked for everything and acknowledged it."""
    session = DeltaSession(views=views)
    session.publish(snapshot, {}, 0.0)
    for url, names in (
        (CLUSTER, ()),
        (ENDPOINT, tuple(snapshot.of_type(ENDPOINT))),
        (ROUTE, ("main",)),
    ):
        settle(session, session.receive(request(url, *names), 0.0), encoder)
    assert session.acked_snapshot == snapshot.version
    return session


def settle(session: DeltaSession, pending: list[Response], encoder: DeltaEncoder) -> None:
    while pending:
        response = pending.pop(0)
        encoder.encode(response)
        pending += session.receive(request(response.type_url, nonce=response.nonce), 0.0)


def claims(snapshot: Snapshot) -> list[discovery_v3.DeltaDiscoveryRequest]:
    """The first requests of a client that has everything already and says so."""
    made = []
    for url, names in (
        (CLUSTER, ()),
        (ENDPOINT, tuple(snapshot.of_type(ENDPOINT))),
        (ROUTE, ("main",)),
    ):
        first = request(url, *names)
        for name, each in snapshot.of_type(url).items():
            first.initial_resource_versions[name] = each.version
        made.append(first)
    return made


def reconnect(
    snapshot: Snapshot,
    requests: list[discovery_v3.DeltaDiscoveryRequest],
    views: Views,
    encoder: DeltaEncoder,
) -> DeltaSession:
    """A stream of such a client."""
    session = DeltaSession(views=views)
    session.publish(snapshot, {}, 0.0)
    for first in requests:
        settle(session, session.receive(first, 0.0), encoder)
    assert session.acked_snapshot == snapshot.version
    return session


def copied(payload: bytes) -> bytes:
    return b"".join((b"header", payload))


def one_table(generations: list[Snapshot]) -> None:
    """Times the session apart from the copy, and the copy in both states of memory.

    A copy into pages the process already has and one into fresh pages (page faults)
    differ a hundredfold, so encoding is only comparable with a copy in the same state:
    ``fresh`` keeps every result alive, ``reused`` lets each be freed before the next.
    """
    session = start(generations[0], Views(), DeltaEncoder())
    log, kept = ChangeLog(), []
    rows: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], object], *, keep: bool, copies: bool = True) -> None:
        if copies:  # the block that this gets decides which memory the timed call gets
            before = work()
            if keep:
                kept.append(before)
            del before
        results: list[object] = []
        rows.setdefault(name, []).append(milliseconds(lambda: results.append(work())))
        if keep:
            kept.extend(results)

    for old, new in itertools.pairwise(generations):
        answers = []

        def decide(old: Snapshot = old, new: Snapshot = new, answers: list = answers) -> None:
            answers.extend(session.publish(new, log.between(old, new), 0.0))

        timed("publish, diff and decide (no copy)", decide, keep=False, copies=False)
        response, payload = answers[0], new.of_type(ROUTE)["main"].payload
        for memory, keep in (("fresh", True), ("reused", False)):
            timed(f"encode, {memory}", lambda r=response: DeltaEncoder().encode(r), keep=keep)
            timed(f"copy alone, {memory}", lambda p=payload: copied(p), keep=keep)
        session.receive(request(ROUTE, nonce=response.nonce), 0.0)
    for name, values in rows.items():
        print(
            f"one 3 MB table, {name}: median {statistics.median(values):.2f} ms, "
            f"min {min(values):.2f} ms, max {max(values):.2f} ms"
        )


def resident() -> float:
    """The memory of this process in MB, from /proc (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def many_streams(generations: list[Snapshot], streams: int) -> None:
    """The first stream pays for what all share, so it is shown apart."""
    snapshot, changed = generations[:2]
    views, encoder, log = Views(), DeltaEncoder(), ChangeLog()
    first = milliseconds(lambda: start(snapshot, views, encoder))
    print(f"whole bring-up of the first stream of a snapshot: {first:.1f} ms")

    def ask() -> None:
        session = DeltaSession(views=views)
        session.publish(snapshot, {}, 0.0)
        (response,) = session.receive(request(CLUSTER), 0.0)
        encoder.encode(response)

    def each(name: str, work: Callable[[], object]) -> None:
        spent = milliseconds(lambda: [work() for _ in range(streams)])
        print(f"{name}: {spent / streams:.2f} ms a stream ({streams} streams)")

    each("first 10,000 clusters", ask)
    live: list[DeltaSession] = []
    gc.collect()
    before = resident()
    each("whole bring-up", lambda: live.append(start(snapshot, views, encoder)))
    gc.collect()
    print(f"memory: {(resident() - before) / streams * 1000:.0f} kB a stream")
    requests = claims(snapshot)
    each(
        "reconnect with initial versions",
        lambda: reconnect(snapshot, requests, views, encoder),
    )
    waiting: list[list[Response]] = []

    def push() -> None:
        for session in live:
            difference = log.between(snapshot, changed)
            waiting.append(session.publish(changed, difference, 0.0))
            for response in waiting[-1]:
                encoder.encode(response)

    def finish() -> None:
        for session, pending in zip(live, waiting, strict=True):
            settle(session, pending, encoder)

    print(f"push of one 3 MB table to {streams} streams: {milliseconds(push):.1f} ms")
    print(f"their acknowledgements: {milliseconds(finish):.1f} ms")
    assert all(session.acked_snapshot == changed.version for session in live)


def main() -> None:
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    generations = snapshots(12)
    one_table(generations)
    many_streams(generations, streams)


if __name__ == "__main__":
    main()
