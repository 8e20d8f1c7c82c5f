"""Many targets that answer checks: one Envoy at a port of every loopback address."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from fluxgate.ir import ActiveCheck, Cluster, EndpointIR
from support.certificates import Pair
from support.envoy import EnvoyProcess
from support.gateway import cluster

_FILTERS = "type.googleapis.com/envoy.extensions.filters"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"


class Crowd:
    """Answers 200 to everything; with TLS if there is a certificate.

    Without ``resumption`` every connection takes a whole handshake.
    """

    def __init__(self, certificate: Pair | None = None, *, resumption: bool = True) -> None:
        listener = _listener(certificate, resumption)
        self._envoy = EnvoyProcess({"static_resources": {"listeners": [listener]}}, concurrency=2)

    def __enter__(self) -> Self:
        self._envoy.__enter__()
        self.port = self._envoy.port("crowd")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._envoy.__exit__(kind, error, traceback)

    @property
    def asked(self) -> int:
        """How many requests there were."""
        return self._envoy.stats("^http.crowd.downstream_rq_total$")[
            "http.crowd.downstream_rq_total"
        ]

    def target(self, number: int) -> EndpointIR:
        """One that shares its address with no other of 60,000."""
        return EndpointIR(f"127.1.{number // 250}.{1 + number % 250}", self.port)

    def pools(self, check: ActiveCheck, count: int, **fields: Any) -> list[Cluster]:
        """So many pools of one target each."""
        return [
            cluster(
                f"pool-{number:05d}",
                endpoints=(self.target(number),),
                active_check=check,
                **fields,
            )
            for number in range(count)
        ]


def _listener(certificate: Pair | None, resumption: bool) -> dict[str, Any]:
    manager = {
        "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "crowd",
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{_FILTERS}.http.router.v3.Router"}}
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
                }
            ]
        },
    }
    chain: dict[str, Any] = {"filters": [{"name": "hcm", "typed_config": manager}]}
    if certificate is not None:
        own = {
            "certificate_chain": {"inline_string": certificate.certificate.decode()},
            "private_key": {"inline_string": certificate.key.decode()},
        }
        context = {
            "@type": _TLS,
            "common_tls_context": {"tls_certificates": [own]},
            "disable_stateless_session_resumption": not resumption,
            "disable_stateful_session_resumption": not resumption,
        }
        chain["transport_socket"] = {"name": "tls", "typed_config": context}
    address = {"socket_address": {"address": "0.0.0.0", "port_value": 0}}
    return {"name": "crowd", "address": address, "filter_chains": [chain]}
