"""Whatever the order of answers, rejections, reconnects and snapshots: traffic is never broken."""

from __future__ import annotations

from hypothesis import given, note, settings
from hypothesis import strategies as st
from unit.xds_server.simulated import (
    Client,
    cluster,
    endpoints,
    listener,
    resource,
    route,
)

from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds.typeurl import CLUSTER, EXTENSION, ORDER, ROUTE, SECRET

CLUSTERS = ("c0", "c1", "c2", "c3")


@st.composite
def snapshots(draw: st.DrawFn, bad: bool = True) -> Snapshot:
    payloads = st.sampled_from(["1", "2", "3"] + (["bad"] if bad else []))
    present = sorted(draw(st.sets(st.sampled_from(CLUSTERS), min_size=1)))
    found: list[SnapshotResource] = []
    for name in present:
        secret = draw(st.sampled_from(["", "", "s0", "s1"]))
        found.append(cluster(name, draw(payloads) + secret, secret=secret))
        found.append(endpoints(name, draw(payloads)))
    found.extend(resource(SECRET, name, draw(payloads)) for name in ("s0", "s1"))
    found.append(resource(EXTENSION, "e0", draw(payloads)))
    tables = ["r0", "r1"][: draw(st.integers(1, 2))]
    for name in tables:
        used = sorted(draw(st.sets(st.sampled_from(present))))
        found.append(route(name, used, draw(payloads) + "".join(used)))
    for name in sorted(draw(st.sets(st.sampled_from(["l0", "l1"])))):
        table = draw(st.sampled_from(tables))
        found.append(listener(name, table, draw(payloads) + table, (EXTENSION, "e0")))
    found.append(listener("probe", "probe"))
    version = draw(payloads.filter(lambda each: each != "bad"))
    found.append(resource(ROUTE, "probe", version, final=True))
    return Snapshot.of(found)


ACTIONS = st.sampled_from(["request", "response", "publish", "publish", "reconnect", "wait"])


def expected(client: Client, snapshot: Snapshot) -> dict[str, dict[str, str]]:
    named = {url: client.names[url] for url in ORDER if url in client.names}
    return {
        url: {
            name: each.version
            for name, each in snapshot.of_type(url).items()
            if url in (CLUSTER, ORDER[4]) or name in named.get(url, ())
        }
        for url in ORDER
    }


def outline(snapshot: Snapshot | None) -> str:
    """A snapshot in one short line, for the report of a failure."""
    assert snapshot is not None
    return " ".join(
        f"{url.rpartition('.')[2][:4]}:{name}={each.payload.decode()}"
        for url, named in snapshot.resources.items()
        for name, each in named.items()
    )


def play(data: st.DataObject, client: Client, *, reconnects: bool) -> Snapshot:
    """Random steps, then a good last snapshot and peace."""
    client.publish(data.draw(snapshots(), label="first"))
    note(outline(client.session.snapshot))
    for action in data.draw(st.lists(st.sampled_from(range(64)), max_size=60), label="steps"):
        if action < 25 and client.outbox:
            client.deliver_request()
        elif action < 50 and client.inbox:
            client.deliver_response()
        elif action < 57:
            client.publish(data.draw(snapshots(), label="next"))
            note(outline(client.session.snapshot))
        elif action >= 60:
            client.wait(3.0)
        elif reconnects:
            current = client.session.snapshot
            client.connect()
            assert current is not None
            client.publish(current)
    last = data.draw(snapshots(bad=False), label="last")
    note(outline(last))
    client.publish(last)
    client.settle()
    return last


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_delta_client_ends_with_exactly_the_newest_snapshot(data: st.DataObject) -> None:
    client = Client(delta=True, names_culprits=data.draw(st.booleans()))
    last = play(data, client, reconnects=True)
    assert client.versions_held() == expected(client, last)
    assert client.session.acked_snapshot == last.version


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_sotw_client_ends_with_exactly_the_newest_snapshot(data: st.DataObject) -> None:
    client = Client(delta=False, names_culprits=data.draw(st.booleans()))
    last = play(data, client, reconnects=False)
    assert client.versions_held() == expected(client, last)
    assert client.session.acked_snapshot == last.version


@settings(max_examples=100, deadline=None)
@given(st.booleans(), st.data())
def test_a_rejection_never_makes_a_loop(delta: bool, data: st.DataObject) -> None:
    client = Client(delta=delta)
    for snapshot in data.draw(st.lists(snapshots(), min_size=1, max_size=4)):
        client.publish(snapshot)
        client.settle()
