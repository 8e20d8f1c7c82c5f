"""The README's section on Kubernetes, line by line; its first line is how every scenario installs."""

import re
import shutil
import socket
import subprocess

import pytest
from support.console import shape

from e2e import readme

_LOCAL = "8080"


@pytest.fixture
def port():
    """A free one in the place of 8080."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def environment(cluster, release, tmp_path):
    return {**cluster.environment, "KEYS": str(tmp_path)}


@pytest.fixture
def clean(cluster):
    """What the section leaves behind, gone again."""
    keys = readme.REPOSITORY / ".fluxgate" / "kubernetes"
    shutil.rmtree(keys, ignore_errors=True)
    yield
    shutil.rmtree(keys, ignore_errors=True)
    for name in ("echo.yaml", "routes.yaml"):
        cluster.kubectl("delete", "--ignore-not-found", "-f", f"examples/kubernetes/{name}")
    cluster.kubectl("delete", "--ignore-not-found", "apikeys.gateway.fluxgate.io", "demo")


def test_every_command_answers_as_it_is_printed(environment, port, clean):
    forwarding = None
    key = ""
    try:
        for example in readme.examples()[1:]:
            command = example.command.replace(f"{_LOCAL}:", f"{port}:").replace(
                f":{_LOCAL}/", f":{port}/"
            )
            command = command.replace("$KEY", key)
            if command.startswith(readme.FORWARDING):
                forwarding = subprocess.Popen(
                    command.split(),
                    env=readme.shell(environment),
                    cwd=readme.REPOSITORY,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                lines = [forwarding.stdout.readline().rstrip()]
            else:
                lines = readme.run(command, environment)
            if found := re.search(r"flx_\w+_\w{20,}", "\n".join(lines)):
                key = found[0]
            printed = [shape(_comparable(line)) for line in example.answer]
            assert [shape(_comparable(line)) for line in lines] == printed, example.command
    finally:
        if forwarding is not None:
            forwarding.terminate()
            forwarding.wait(10)
            forwarding.stdout.close()


def _comparable(line):
    """Without ages, and hashes in the names of pods."""
    line = re.sub(r"\b\d+[smh](\d+s)?$", "<age>", line)
    line = re.sub(r"Forwarding from .*", "Forwarding from <address>", line)
    return re.sub(r'"x-forwarded-for": "[^"]*"', '"x-forwarded-for": "<address>"', line)
