"""kopf's process by itself: it takes an order, ends with its parent, and makes no noise."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fluxgate_operator.kube.access import AccessOrigin
from fluxgate_operator.kube.types import SECRETS, SERVICES
from fluxgate_operator.providers.kubernetes.kopf_process import Order
from fluxgate_operator.providers.kubernetes.told import HEAD, News, unframe

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:PORT"}}]
users: [{name: u, user: {token: t}}]
"""


def order(kubeconfig: Path | None, parent: int | None = None) -> Order:
    origin = AccessOrigin(kubeconfig, None, {"KUBECONFIG": "/none"}, Path("/none"))
    return Order(origin, (SERVICES, SECRETS), ("a", "b"), 68.0, parent or os.getpid())


@pytest.fixture
def process():
    with subprocess.Popen(
        [sys.executable, "-m", "fluxgate_operator.providers.kubernetes.kopf_process"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    ) as running:  # fmt: skip
        yield running
        running.kill()


def say(process, text: bytes) -> None:
    process.stdin.write(text)
    process.stdin.flush()


def told(process):
    """The next frame."""
    head = process.stdout.read(HEAD.size)
    return unframe(head, process.stdout.read(sum(HEAD.unpack(head))))


def test_an_order_is_read_as_it_was_written():
    for given in (order(None), order(Path("/some/kubeconfig"))):
        assert Order.read(given.line()) == given


def test_it_says_why_it_cannot_begin(process):
    say(process, order(Path("/not/there")).line())
    (record,) = told(process)
    assert record.news is News.ENDED
    assert b"/not/there is not there" in record.body
    assert process.wait(10) == 1


def test_it_ends_with_its_stdin_and_an_interrupt_is_not_its_business(process, tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    with socket.create_server(("127.0.0.1", 0)) as mute:
        kubeconfig.write_text(KUBECONFIG.replace("PORT", str(mute.getsockname()[1])))
        say(process, order(kubeconfig).line())
        mute.settimeout(20)
        first, _ = mute.accept()
        os.kill(process.pid, signal.SIGINT)
        first.close()
        for _ in range(3):  # it goes on trying
            mute.accept()[0].close()
        out, err = process.communicate(timeout=60)  # closes its stdin
    assert (process.returncode, out, err) == (0, b"", b"")


def test_it_does_not_outlive_a_parent_that_is_gone_already(process, tmp_path):
    say(process, order(tmp_path / "kubeconfig", parent=os.getppid()).line())
    assert process.wait(10) == 0


def test_without_an_order_it_ends(process):
    process.stdin.close()
    assert process.wait(10) == 0
