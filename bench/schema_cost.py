"""What CEL would cost where list keys are used: ``python -m bench.schema_cost KUBECONFIG``.

Asks the API server of that kubeconfig, by a dry run, to take our definitions with every rule of
uniqueness written in CEL instead of ``x-kubernetes-list-map-keys``, under a group of their own.
Printed is what it says of each such list, and what it says when texts that only a pattern bounds
are bounded to 64 characters, too; nothing is stored.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from fluxgate.api.crd import build_crds
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import InvalidError
from fluxgate_operator.kube.types import CRDS

OURS, THEIRS = "gateway.fluxgate.io", "cost.example.com"
CONDITIONS = ["type"]
"""Keys of a status' conditions, which are the API's own."""


def in_cel(node: dict[str, Any], path: str = "") -> list[str]:
    """Write list keys as CEL, in place; returns the lists, as paths with their longest length."""
    found = []
    keys = node.get("x-kubernetes-list-map-keys")
    if keys and keys != CONDITIONS:
        del node["x-kubernetes-list-map-keys"], node["x-kubernetes-list-type"]
        same = " && ".join(f"a.{key} == b.{key}" for key in keys)
        rule = f"self.all(a, self.exists_one(b, {same}))"
        node["x-kubernetes-validations"] = [{"rule": rule, "message": "two items are the same"}]
        found.append(f"{path}, at most {node['maxItems']} items")
    for name, child in node.get("properties", {}).items():
        found += in_cel(child, f"{path}.{name}".removeprefix("."))
    if "items" in node:
        found += in_cel(node["items"], f"{path}[]")
    return found


def bound_texts(node: dict[str, Any]) -> None:
    """Give every text without a longest length one, in place."""
    if node.get("type") == "string" and not node.keys() & {"maxLength", "enum", "format"}:
        node["maxLength"] = 64
    for child in node.get("properties", {}).values():
        bound_texts(child)
    if "items" in node:
        bound_texts(node["items"])


async def said(client: KubeClient, body: dict[str, Any]) -> str:
    """The API server's answer to a definition."""
    try:
        await client.request("POST", CRDS.path(None), body=body, query={"dryRun": "All"})
    except InvalidError as error:
        return str(error).replace(", spec.", "\n    spec.")
    return "accepted"


async def main() -> None:
    """Print what the API server says of every kind."""
    access = await load_access(Path(sys.argv[1]), None, {})
    async with KubeClient(access) as client:
        for crd in build_crds().values():
            body = json.loads(json.dumps(crd).replace(OURS, THEIRS))
            schema = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            if not (lists := in_cel(schema)):
                continue
            print(f"{body['spec']['names']['kind']}: {'; '.join(lists)}")
            print(f"  as it is: {await said(client, body)}")
            bound_texts(schema)
            print(f"  all texts bounded: {await said(client, body)}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
