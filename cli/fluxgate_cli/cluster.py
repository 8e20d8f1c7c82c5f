"""Commands that talk to an API server: their options, and the client they share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fluxgate_operator.kube.client import KubeClient

Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        envvar="KUBECONFIG",
        help="The kubeconfig file; in a pod its ServiceAccount is used without one.",
    ),
]
Context = Annotated[str | None, typer.Option("--context", help="The kubeconfig's context to use.")]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        envvar="FLUXGATE_NAMESPACE",
        help="The namespace; by default that of the context, or of the pod.",
    ),
]


@contextlib.asynccontextmanager
async def connected(
    kubeconfig: Path | None, context: str | None
) -> AsyncIterator[tuple[KubeClient, str]]:
    """A client of the API server, and the namespace its access names."""
    # the client takes 0.4 s to import, which commands without a cluster need not wait for
    from fluxgate_operator.kube.access import load_access  # noqa: PLC0415
    from fluxgate_operator.kube.client import KubeClient  # noqa: PLC0415

    access = await load_access(kubeconfig, context, os.environ)
    async with KubeClient(access, user_agent="fluxgate-cli") as client:
        yield client, access.namespace
