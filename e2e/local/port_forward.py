"""``kubectl port-forward service/NAME LOCAL:REMOTE`` without a kubelet.

Runs as ``python -m e2e.local.port_forward KUBECTL -n NAMESPACE service/NAME LOCAL:REMOTE`` and
forwards to a ready pod of the Service, as kubectl does: one pod, chosen at the start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys


def target(kubectl: str, namespace: str, service: str, port: int) -> tuple[str, int]:
    """Address and port of a ready pod of the Service."""

    def get(*args: str) -> dict:
        command = [kubectl, "get", "-n", namespace, *args, "-o", "json"]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    ports = get("service", service)["spec"]["ports"]
    name = next(each.get("name") for each in ports if each["port"] == port)
    slices = get("endpointslices", "-l", f"kubernetes.io/service-name={service}")["items"]
    for each in slices:
        for endpoint in each.get("endpoints") or ():
            if endpoint["conditions"].get("ready"):
                number = next(
                    one["port"] for one in each["ports"] if (one.get("name") or None) == name
                )
                return endpoint["addresses"][0], number
    raise SystemExit(f"error: no ready pod behind service/{service}")


async def serve(local: int, host: str, port: int) -> None:
    """Forward connections until the process is ended."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, port)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", local)
    sys.stdout.write(f"Forwarding from 127.0.0.1:{local} -> {port}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Read the arguments kubectl would get."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kubectl")
    parser.add_argument("-n", "--namespace", default="default")
    parser.add_argument("service")
    parser.add_argument("ports")
    found = parser.parse_args()
    local, _, remote = found.ports.partition(":")
    name = found.service.partition("/")[2]
    asyncio.run(serve(int(local), *target(found.kubectl, found.namespace, name, int(remote))))


if __name__ == "__main__":
    main()
