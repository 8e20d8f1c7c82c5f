"""An application behind the gateway: an echo that says which pod answered."""

from __future__ import annotations

import json

from e2e.cluster import Cluster

_ECHO = """
import http.server, json, os

class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        length = int(self.headers.get("content-length") or 0)
        body = json.dumps({
            "pod": os.environ["POD_NAME"],
            "path": self.path,
            "headers": dict(self.headers.items()),
            "body": self.rfile.read(length).decode(),
        }).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("", 8000), Echo).serve_forever()
"""


def echo(
    cluster: Cluster,
    namespace: str,
    name: str,
    *,
    replicas: int = 1,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    container: dict[str, object] | None = None,
    grace: int = 2,
) -> None:
    """A Deployment and a Service of port 8000; returns when it is rolled out.

    ``labels`` and ``annotations`` are the pods', ``grace`` their seconds to end; ``container``
    adds to the container or replaces parts of it.
    """
    cluster.kubectl(
        "apply",
        "-f",
        "-",
        stdin=json.dumps(
            {
                "apiVersion": "v1",
                "kind": "List",
                "items": _objects(
                    cluster,
                    namespace,
                    name,
                    replicas,
                    {"labels": {"app": name, **(labels or {})}, "annotations": annotations or {}},
                    container or {},
                    grace,
                ),
            }
        ),
    )
    cluster.kubectl("rollout", "status", "-n", namespace, f"deployment/{name}", "--timeout=180s")


def _objects(
    cluster: Cluster,
    namespace: str,
    name: str,
    replicas: int,
    pod_metadata: dict[str, dict[str, str]],
    more: dict[str, object],
    grace: int,
) -> list[dict[str, object]]:
    metadata = {"name": name, "namespace": namespace}
    container = {
        "name": "echo",
        "image": cluster.application_image,
        "command": ["python3", "/app/echo.py"],
        "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "readOnlyRootFilesystem": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "app", "mountPath": "/app"}],
        **more,
    }
    pod = {
        "metadata": pod_metadata,
        "spec": {
            "containers": [container],
            "volumes": [{"name": "app", "configMap": {"name": name}}],
            "terminationGracePeriodSeconds": grace,
        },
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"echo.py": _ECHO},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": pod,
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {
                "selector": {"app": name},
                "ports": [{"name": "http", "port": 8000, "targetPort": 8000}],
            },
        },
    ]
