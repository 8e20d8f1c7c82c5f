"""The real Envoy as a client of the xDS server, in both protocol variants."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from envoy.config.listener.v3 import listener_pb2 as listener_v3
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2  # noqa: F401
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: F401
    http_connection_manager_pb2,
)
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2 as secret_v3
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2  # noqa: F401
from feature.xds_server.background import BackgroundXds
from feature.xds_server.envoy_config import (
    acknowledged,
    bootstrap,
    cluster,
    endpoints,
    listener,
    probe,
    resource,
    route,
    stamp,
)
from support.envoy import EnvoyProcess, eventually
from support.upstream import EchoUpstream

from fluxgate.ports import NodeState, SyncState
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds import typeurl
from fluxgate_xds.planner import Planner
from fluxgate_xds.views import Views

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def certificate() -> SnapshotResource:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway.example.com")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    chain = signed.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    pair = {
        "certificate_chain": {"inline_string": chain},
        "private_key": {"inline_string": private},
    }
    body = {"name": "server", "tls_certificate": pair}
    return resource(typeurl.SECRET, secret_v3.Secret, body, "server")


@pytest.fixture(params=["DELTA_GRPC", "GRPC"])
def api_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def xds() -> Iterator[BackgroundXds]:
    with BackgroundXds() as server:
        yield server


def test_envoy_fetches_every_type_and_serves(
    xds: BackgroundXds, api_type: str, certificate: SnapshotResource
) -> None:
    with EchoUpstream() as upstream:
        snapshot = Snapshot.of(
            [
                cluster("blue"),
                endpoints("blue", upstream.port),
                route("main", "blue"),
                listener("plain", "main", filtered=True),
                listener("tls", "main", filtered=True, secret="server"),
                listener("probe", "probe"),
                stamp("first"),
                certificate,
                probe("v1"),
            ]
        )
        xds.publish(snapshot)
        with EnvoyProcess(bootstrap(xds.port, api_type)) as envoy:
            plain = httpx.get(f"http://127.0.0.1:{envoy.port('plain')}/a")
            secure = httpx.get(f"https://127.0.0.1:{envoy.port('tls')}/a", verify=False)
            proof = httpx.get(f"http://127.0.0.1:{envoy.port('probe')}/")
            node = acknowledged(xds, snapshot)
    assert (plain.status_code, plain.headers["x-stamp"]) == (200, "first")
    assert (secure.status_code, secure.headers["x-stamp"]) == (200, "first")
    assert proof.text == "v1"
    assert node.user_agent.startswith("envoy/")
    assert {state.state for state in node.types.values()} == {SyncState.SYNCED}
    assert set(node.types) == set(typeurl.ORDER)


def test_no_request_fails_while_clusters_are_swapped(xds: BackgroundXds, api_type: str) -> None:
    with EchoUpstream("even") as even, EchoUpstream("odd") as odd:
        ports = (even.port, odd.port)

        def generation(number: int) -> Snapshot:
            name = f"cluster-{number}"
            return Snapshot.of(
                [
                    cluster(name),
                    endpoints(name, ports[number % 2]),
                    route("main", name),
                    listener("plain", "main"),
                ]
            )

        xds.publish(generation(0))
        with EnvoyProcess(bootstrap(xds.port, api_type), concurrency=2) as envoy:
            port = envoy.port("plain")
            statuses: list[int] = []
            over = threading.Event()

            def load() -> None:
                with httpx.Client() as client:
                    while not over.is_set():
                        statuses.append(client.get(f"http://127.0.0.1:{port}/").status_code)

            workers = [threading.Thread(target=load) for _ in range(3)]
            for worker in workers:
                worker.start()
            for number in range(1, 26):
                snapshot = generation(number)
                xds.publish(snapshot)
                acknowledged(xds, snapshot)
            eventually(lambda: len(statuses) > 100, what="the load goes on")
            over.set()
            for worker in workers:
                worker.join()
            left = envoy.stats("cluster_manager.active_clusters")
    assert set(statuses) == {200}
    assert left["cluster_manager.active_clusters"] == 2  # the newest one and the xDS server


def test_a_changed_cluster_of_the_same_name_is_warmed_at_once(
    xds: BackgroundXds, api_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = Planner.__init__

    def unmoved(session: Planner, views: Views, _patience: float) -> None:
        prepare(session, views, 600.0)

    monkeypatch.setattr(Planner, "__init__", unmoved)  # nothing comes of waiting
    with EchoUpstream() as upstream:

        def generation(timeout: str) -> Snapshot:
            return Snapshot.of(
                [
                    cluster("blue", timeout),
                    endpoints("blue", upstream.port),
                    route("main", "blue"),
                    listener("plain", "main"),
                ]
            )

        xds.publish(generation("1s"))
        with EnvoyProcess(bootstrap(xds.port, api_type)) as envoy:
            acknowledged(xds, generation("1s"))
            xds.publish(generation("2s"))
            acknowledged(xds, generation("2s"))
            eventually(
                lambda: (
                    envoy.stats("cluster_manager.warming_clusters")[
                        "cluster_manager.warming_clusters"
                    ]
                    == 0
                ),
                timeout=12.0,  # after 15 s Envoy gives up waiting, too
                what="no cluster is warming",
            )
            dump = envoy.admin("/config_dump?resource=dynamic_active_clusters")
    assert '"connect_timeout": "2s"' in dump


def test_a_rejected_listener_is_told_in_envoys_words_and_the_rest_is_served(
    xds: BackgroundXds, api_type: str
) -> None:
    with EchoUpstream() as upstream:
        good = [cluster("blue"), endpoints("blue", upstream.port), route("main", "blue")]
        body = {
            "name": "bad",
            "address": {"socket_address": {"address": "example", "port_value": 1}},
        }
        bad = resource(typeurl.LISTENER, listener_v3.Listener, body, "bad")
        xds.publish(Snapshot.of([*good, listener("plain", "main"), bad]))
        with EnvoyProcess(bootstrap(xds.port, api_type)) as envoy:
            answer = httpx.get(f"http://127.0.0.1:{envoy.port('plain')}/")

            def refused() -> NodeState | None:
                node = xds.node()
                state = node.types.get(typeurl.LISTENER) if node is not None else None
                return node if state is not None and state.nack is not None else None

            node = eventually(refused, what="the listener is rejected")
            repaired = Snapshot.of([*good, listener("plain", "main")])
            xds.publish(repaired)
            after = acknowledged(xds, repaired)
    assert answer.status_code == 200
    assert node is not None
    nack = node.types[typeurl.LISTENER].nack
    assert nack is not None
    assert "malformed IP address: example" in nack.message
    assert node.types[typeurl.LISTENER].state is SyncState.REJECTED
    assert node.types[typeurl.ROUTE].state is SyncState.SYNCED
    assert after.types[typeurl.LISTENER].nack is None


def test_envoy_keeps_serving_and_catches_up_after_the_server_was_away(api_type: str) -> None:
    with EchoUpstream("a") as first, EchoUpstream("b") as second:

        def generation(name: str, port: int) -> Snapshot:
            return Snapshot.of(
                [
                    cluster(name),
                    endpoints(name, port),
                    route("main", name),
                    listener("plain", "main"),
                ]
            )

        with BackgroundXds() as xds:
            xds.publish(generation("blue", first.port))
            with EnvoyProcess(bootstrap(xds.port, api_type)) as envoy:
                port = envoy.port("plain")
                acknowledged(xds, generation("blue", first.port))
                xds.restart()
                assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
                newest = generation("green", second.port)
                xds.publish(newest)
                acknowledged(xds, newest)
                assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
                assert second.requests
