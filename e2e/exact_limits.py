"""A limit that all Envoys of a release count together, and what becomes of it without the service."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import httpx

from e2e.cluster import Cluster
from e2e.waiting import eventually

ADMITTED = 20
"""What the Envoys may let through together, in a window that does not end meanwhile."""

# a user id as the official image of Redis needs one; one replica, so that one crash is the end
VALUES: Mapping[str, object] = {"enabled": True, "replicas": 1, "redis": {"runAsUser": 999}}


def gateway_config(failure_mode: str) -> dict[str, object]:
    """The spec of the release's GatewayConfig; a busy machine may take its time to answer."""
    return {
        "listeners": [{"name": "http", "port": 8080}],
        "rateLimitService": {"failureMode": failure_mode, "timeout": "2s"},
    }


def limit(requests: int) -> dict[str, object]:
    """A plugin of a Route."""
    config = {"requests": requests, "window": "8760h", "by": "Route", "policy": "Redis"}
    return {"type": "rate-limit", "config": config}


class Fleet:
    """The Envoys of a release, each asked at its own address."""

    def __init__(self, cluster: Cluster, namespace: str, release: str) -> None:
        self._cluster, self._namespace, self._release = cluster, namespace, release

    def addresses(self) -> list[str]:
        """Those behind the gateway's Service that are ready."""
        name = f"kubernetes.io/service-name={self._release}-gateway"
        listed = self._get("endpointslices", "-l", name)
        return [
            endpoint["addresses"][0]
            for each in listed["items"]
            for endpoint in each.get("endpoints") or ()
            if endpoint["conditions"]["ready"]
        ]

    def statuses(self, path: str, each: int = 1) -> Counter[int]:
        """What so many requests to each Envoy are answered with; all of them at once."""
        asked = [f"http://{address}:8080{path}" for address in self.addresses() * each]
        with ThreadPoolExecutor(8) as pool:
            return Counter(pool.map(lambda url: httpx.get(url, timeout=30).status_code, asked))

    def all_answer(self, path: str, status: int) -> None:
        """Wait until every Envoy answers so."""

        def do() -> bool:
            found = self.statuses(path)
            assert set(found) == {status}, found
            return True

        eventually(f"{path} is {status} at every Envoy", do)

    def lose_the_service(self) -> None:
        """Kill its pod as a crash would, and let no other take its place."""
        label = "app.kubernetes.io/component=ratelimit"
        (pod,) = self._get("pods", "-l", label)["items"]
        self._cluster.kill(self._namespace, pod["metadata"]["name"])
        self._scale(0)

    def restore_the_service(self) -> None:
        """Let its Deployment have a pod again; does not wait for it."""
        self._scale(1)

    def _scale(self, replicas: int) -> None:
        name = f"deployment/{self._release}-ratelimit"
        self._cluster.kubectl("scale", "-n", self._namespace, name, f"--replicas={replicas}")

    def _get(self, *what: str) -> dict[str, list[dict[str, dict[str, str]]]]:
        found: dict[str, list[dict[str, dict[str, str]]]] = json.loads(
            self._cluster.kubectl("get", *what, "-n", self._namespace, "-o", "json")
        )
        return found
