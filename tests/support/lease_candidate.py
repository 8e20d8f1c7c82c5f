"""A candidate in a process of its own, for tests that kill or stop it.

``python -m support.lease_candidate KUBECONFIG NAMESPACE IDENTITY ROUTE DURATION``: takes part in the
election and, on every line of its standard input, writes that word into the status of a route as
long as it leads. Says on standard output when it leads and when it does not, and ``idle`` after
every word it did not need to or may not write.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import structlog

from fluxgate_operator.election import LeaseElection
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.settings import LeaseSettings
from fluxgate_operator.statuses import Outlook, StatusSettings, StatusWriter
from support.statuses import ACCEPTED, SERVED, Book, Facts, ref_of

AT_ONCE = StatusSettings(coalesce_seconds=0)
"""A writer that is quicker than the election, so that nothing but the clock can hold it back."""


async def main(kubeconfig: str, namespace: str, identity: str, name: str, duration: str) -> None:
    """Run until killed, or until standard input ends: then release the Lease."""
    seconds = float(duration)
    settings = LeaseSettings("test", seconds, seconds * 2 / 3, seconds / 8, seconds / 30)
    log = structlog.get_logger()
    access = await load_access(Path(kubeconfig), None, {})
    async with KubeClient(access, user_agent=f"candidate/{identity}") as client:
        facts, book, ref = Facts(client, namespace), Book(), ref_of(namespace, name)
        await facts.refresh()
        election = LeaseElection(client, namespace, identity, settings, log)
        writer = StatusWriter(
            client, facts, Outlook(book.read, lambda: election.leading), log, AT_ONCE
        )

        async def tell() -> None:
            while True:
                changed = election.changed.subscribe()
                print(f"leading {election.leading}", flush=True)
                writer.poke()
                await changed

        tasks = [asyncio.create_task(each) for each in (election.run(), writer.run(), tell())]
        words = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
        while word := (await words.readline()).decode().strip():
            book.say(ref, replace(ACCEPTED, message=word), SERVED)
            writer.poke()
        for task in reversed(tasks):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(*sys.argv[1:]))
