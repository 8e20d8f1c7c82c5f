"""kopf's process: what it missed is listed, what it tells is not lost, and it leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from pathlib import Path

import psutil
import structlog

from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.types import OUR_TYPES
from fluxgate_operator.providers.kubernetes.told import News
from fluxgate_operator.providers.kubernetes.watcher import KopfWatcher

from .conftest import kopf_processes
from .objects import upstream

UPSTREAMS = next(each for each in OUR_TYPES if each.kind == "Upstream")
OBJECTS = 200
PADDING = "x" * 10_000


async def gone(pid: int, descriptor: int) -> None:
    """Wait until a process has ended; its file descriptor is readable then (pidfd_open(2))."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    assert await asyncio.to_thread(poll.poll, 10_000), f"{pid} still runs"
    os.close(descriptor)


async def test_a_killed_process_is_replaced_and_nothing_is_missed(
    start, control_plane, kube, namespace
):
    await kube.create(UPSTREAMS, namespace, upstream("old"))
    async with start(control_plane.kubeconfig) as watched:
        await kube.create(UPSTREAMS, namespace, upstream("first"))
        await watched.until(lambda: watched.has("Upstream", namespace, "first"))
        await watched.until(lambda: watched.provider.health().watching)
        before = watched.kopf.pid
        os.kill(before, signal.SIGSTOP)  # what happens now it can never tell
        await kube.delete(UPSTREAMS, namespace, "old")
        await kube.create(UPSTREAMS, namespace, upstream("new"))
        os.kill(before, signal.SIGKILL)
        await watched.until(lambda: watched.provider.health().watch_restarts == 1)
        await watched.until(lambda: watched.provider.health().watching)
        assert watched.kopf.pid != before
        await watched.until(lambda: watched.names("Upstream", namespace) == {"first", "new"})
        assert not psutil.pid_exists(before)
        await kube.create(UPSTREAMS, namespace, upstream("later"))
        await watched.until(lambda: watched.has("Upstream", namespace, "later"))


async def test_it_ends_with_the_provider_and_leaves_no_zombie(start, control_plane, namespace):
    async with start(control_plane.kubeconfig) as watched:
        await watched.until(lambda: watched.provider.health().watching)
        pid = watched.kopf.pid
        assert os.getsid(pid) != os.getsid(0)  # Ctrl+C of a terminal does not reach it
    assert not psutil.pid_exists(pid)


async def test_it_ends_when_its_parent_is_killed(control_plane):
    parent = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("lonely_watcher.py")),
        str(control_plane.kubeconfig), stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    try:
        await asyncio.wait_for(parent.stdout.readline(), 60)
        (kopf,) = kopf_processes(psutil.Process(parent.pid))
        descriptor = os.pidfd_open(kopf.pid)
        os.kill(kopf.pid, signal.SIGSTOP)  # it cannot see the end of its stdin
    finally:
        parent.kill()
        await parent.wait()
    await gone(kopf.pid, descriptor)


async def test_nothing_is_lost_while_nobody_reads(control_plane, kube, namespace):
    names = set()
    told_something, reading, complete = asyncio.Event(), asyncio.Event(), asyncio.Event()
    expected = {f"u{number}" for number in range(OBJECTS)}

    async def told(batch):
        told_something.set()
        await reading.wait()
        names.update(each.name for each in batch if each.news is News.SEEN)
        if expected <= names:
            complete.set()

    access = await load_access(control_plane.kubeconfig, None, {})
    watcher = KopfWatcher(
        access, [UPSTREAMS], [namespace], told, lambda: None, structlog.get_logger()
    )
    running = asyncio.create_task(watcher.run())
    try:
        await asyncio.wait_for(told_something.wait(), 60)
        for name in sorted(expected):  # 2 MB: more than the pipe and the reader hold
            large = upstream(name)
            large["metadata"]["annotations"] = {"example.com/padding": PADDING}
            await kube.create(UPSTREAMS, namespace, large)
        assert not names
        reading.set()
        await asyncio.wait_for(complete.wait(), 60)
        assert watcher.restarts == 0
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
