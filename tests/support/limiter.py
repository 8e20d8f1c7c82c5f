"""Redis and the rate limit service (envoyproxy/ratelimit), both real, as child processes.

Redis listens on a Unix socket in a folder of its own, the service on a loopback port that is
reserved for as long as it exists, so that both can be stopped and started again in place.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.cluster_processes import Child, ReservedPort
from support.envoy import eventually
from tools.toolset import Toolset, ToolsMissingError

NODE = "ratelimit-0"


class Redis:
    """One redis-server that keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("redis-server")
        if found is None:
            pytest.skip("redis-server is not installed: .ci/install-packages does it")
        self._program, self._folder = found, folder
        self.socket = folder / "redis.sock"
        self._child: Child | None = None

    def start(self) -> None:
        """Start it, empty; ready on return."""
        command = [self._program, "--port", "0", "--unixsocket", str(self.socket)]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        self._child = Child(command, self._folder / "redis.log")
        eventually(self._answers, what="redis-server answers")

    def stop(self) -> None:
        """End it; its connections break."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def flush(self) -> None:
        """Forget every count."""
        assert self._say(b"FLUSHALL\r\n") == b"+OK\r\n"

    def keys(self) -> int:
        """How many counts it has."""
        return int(self._say(b"DBSIZE\r\n").strip(b":\r\n"))

    def _answers(self) -> bool:
        with suppress(OSError):
            return self._say(b"PING\r\n") == b"+PONG\r\n"
        return False

    def _say(self, command: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(self.socket))
            connection.sendall(command)
            return connection.recv(64)


class RateLimitService:
    """The service, configured by the xDS server on ``xds_port`` for one gateway.

    ``settings`` are more of its environment; what is fit for this machine stands above them.
    """

    def __init__(
        self,
        folder: Path,
        redis: Redis,
        xds_port: int,
        gateway: str,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        try:
            self._program = Toolset.from_environment().found("ratelimit")["ratelimit"]
        except ToolsMissingError as error:
            pytest.skip(str(error))
        self._folder = folder
        self._port = ReservedPort()
        self._settings = {
            "CONFIG_TYPE": "GRPC_XDS_SOTW",
            "CONFIG_GRPC_XDS_NODE_ID": NODE,
            "CONFIG_GRPC_XDS_NODE_METADATA": f"gateway={gateway}",
            **(settings or {}),
            "CONFIG_GRPC_XDS_SERVER_URL": f"127.0.0.1:{xds_port}",
            "XDS_CLIENT_BACKOFF_INITIAL_INTERVAL": "100ms",
            "XDS_CLIENT_BACKOFF_MAX_INTERVAL": "200ms",
            "REDIS_SOCKET_TYPE": "unix",
            "REDIS_URL": str(redis.socket),
            "REDIS_TIMEOUT": "10s",
            "USE_STATSD": "false",
            "PROMETHEUS_ADDR": "127.0.0.1:0",
            "LOG_LEVEL": "info",
            "HOST": "127.0.0.1",
            "PORT": "0",
            "DEBUG_HOST": "127.0.0.1",
            "DEBUG_PORT": "0",
            "GRPC_HOST": "127.0.0.1",
            "GRPC_PORT": str(self._port.number),
        }
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """What ``spec.rateLimitService.url`` has to say."""
        return f"http://127.0.0.1:{self._port.number}"

    @property
    def log(self) -> str:
        """What it said so far."""
        return (self._folder / "ratelimit.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it; it has a configuration and answers on return."""
        settings = [f"{name}={value}" for name, value in self._settings.items()]
        command = ["/usr/bin/env", *settings, str(self._program)]
        self._child = Child(command, self._folder / "ratelimit.log")
        eventually(self._serves, timeout=60, what="the rate limit service serves")

    def stop(self) -> None:
        """End it at once."""
        if self._child is not None:
            self._child.stop(kill=True)
            self._child = None

    def close(self) -> None:
        """End it for good."""
        self.stop()
        self._port.close()

    def _serves(self) -> bool:
        assert self._child is not None
        self._child.check()
        with grpc.insecure_channel(f"127.0.0.1:{self._port.number}") as channel:
            request = health_pb2.HealthCheckRequest(service="ratelimit")
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
