"""Kubeconfigs and pods that cannot be used are refused with the place and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.errors import KubeConfigError

POD = {"KUBERNETES_SERVICE_HOST": "127.0.0.1"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2]",
        "a: [",
        "contexts: 5",
        "apiVersion: v1\nkind: Config\ncurrent-context: none\ncontexts: []\nclusters: []\nusers: []\n",
        "apiVersion: v1\nkind: Config\ncontexts: [5]\n",
        "contexts: [{name: a, context: }]\ncurrent-context: a\nclusters: []\nusers: []\n",
        "contexts: [{name: a, context: 7}]\ncurrent-context: a\nclusters: []\nusers: []\n",
    ],
)
async def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, text: str):
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(KubeConfigError, match=str(path)):
        await load_access(path, None, {})


async def test_a_kubeconfig_that_is_not_there_says_how_to_name_one(tmp_path: Path):
    with pytest.raises(KubeConfigError, match="--kubeconfig"):
        await load_access(tmp_path / "none", None, {})


async def test_a_pod_without_its_authority_is_refused(tmp_path: Path):
    with pytest.raises(KubeConfigError, match="ServiceAccount"):
        await load_access(None, None, POD, tmp_path)
