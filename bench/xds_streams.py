"""What publishing costs the xDS server: ``python bench/xds_streams.py [streams]``.

Prints, for one changed RouteConfiguration of 3 MB beside 10,000 clusters: the time from
publish to the encoded response, the copy alone, and the first response of 10,000
clusters for each of many streams. No sockets: this is the server's own work.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable

from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3

from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds.typeurl import CLUSTER, ENDPOINT, ROUTE
from fluxgate_xds.changes import ChangeLog
from fluxgate_xds.delta import DeltaSession
from fluxgate_xds.wire import DeltaEncoder

ROUTES = 10_000
TABLE_BYTES = 3_000_000


def milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def snapshots(count: int) -> list[Snapshot]:
    names = [f"cluster-{number}" for number in range(ROUTES)]
    fixed = [SnapshotResource.of(CLUSTER, n, b"c" * 150, references=[(ENDPOINT, n)]) for n in names]
    fixed += [SnapshotResource.of(ENDPOINT, name, b"e" * 60) for name in names]
    targets = [(CLUSTER, name) for name in names]
    tables = [
        SnapshotResource.of(ROUTE, "main", bytes([number]) * TABLE_BYTES, references=targets)
        for number in range(count)
    ]
    return [Snapshot.of([*fixed, table]) for table in tables]


def request(url: str, *names: str, nonce: str = "") -> discovery_v3.DeltaDiscoveryRequest:
    return discovery_v3.DeltaDiscoveryRequest(
        type_url=url, resource_names_subscribe=names, response_nonce=nonce
    )


def start(snapshot: Snapshot) -> tuple[DeltaSession, list[bytes]]:
    session, encoder, sent = DeltaSession(), DeltaEncoder(), []
    session.publish(snapshot, {}, 0.0)
    for url, names in (
        (CLUSTER, ()),
        (ENDPOINT, tuple(snapshot.of_type(ENDPOINT))),
        (ROUTE, ("main",)),
    ):
        pending = session.receive(request(url, *names), 0.0)
        while pending:
            response = pending.pop(0)
            sent.append(encoder.encode(response))
            pending += session.receive(request(response.type_url, nonce=response.nonce), 0.0)
    return session, sent


def copied(payload: bytes) -> bytes:
    return b"".join((b"header", payload))


def one_table(generations: list[Snapshot]) -> None:
    """Times the session apart from the copy, and the copy in both states of memory.

    A copy into pages the process already has and one into fresh pages (page faults)
    differ a hundredfold, so encoding is only comparable with a copy in the same state:
    ``fresh`` keeps every result alive, ``reused`` lets each be freed before the next.
    """
    session, _ = start(generations[0])
    log, encoder, kept = ChangeLog(), DeltaEncoder(), []
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
            timed(f"encode, {memory}", lambda r=response: encoder.encode(r), keep=keep)
            timed(f"copy alone, {memory}", lambda p=payload: copied(p), keep=keep)
        session.receive(request(ROUTE, nonce=response.nonce), 0.0)
    for name, values in rows.items():
        print(
            f"one 3 MB table, {name}: median {statistics.median(values):.2f} ms, "
            f"min {min(values):.2f} ms, max {max(values):.2f} ms"
        )


def many_streams(snapshot: Snapshot, streams: int) -> None:
    encoder, sent = DeltaEncoder(), []

    def serve() -> None:
        for _ in range(streams):
            session = DeltaSession()
            session.publish(snapshot, {}, 0.0)
            (response,) = session.receive(request(CLUSTER), 0.0)
            sent.append(len(encoder.encode(response)))

    spent = milliseconds(serve)
    print(
        f"first 10,000 clusters ({sent[0] / 1e6:.1f} MB) to {streams} streams: "
        f"{spent / streams:.2f} ms a stream, {encoder.built} serialisations"
    )


def main() -> None:
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    generations = snapshots(12)
    one_table(generations)
    many_streams(generations[0], streams)


if __name__ == "__main__":
    main()
