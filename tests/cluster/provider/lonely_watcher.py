"""A process with a watcher and nothing else, to be killed: ``lonely_watcher.py KUBECONFIG``."""

import asyncio
import sys
from pathlib import Path

import structlog

from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.types import SERVICES
from fluxgate_operator.providers.kubernetes.told import Told
from fluxgate_operator.providers.kubernetes.watcher import KopfWatcher


async def main(kubeconfig: Path) -> None:
    """Says that kopf watches, once it does."""

    async def told(_news: list[Told]) -> None:
        print("watches", flush=True)

    access = await load_access(kubeconfig, None, {})
    await KopfWatcher(access, [SERVICES], [], told, lambda: None, structlog.get_logger()).run()


asyncio.run(main(Path(sys.argv[1])))
