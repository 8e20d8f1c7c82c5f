"""A release from its first install to its end, by Helm itself."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.cluster import OwnControlPlane
from support.helm import CHART, Helm, HelmError
from support.jobs import JobRunner, running_jobs
from support.postgres import Postgres

from fluxgate_admin.db.migrate import head
from fluxgate_operator.certificates.certificates import utc_now
from fluxgate_operator.certificates.publishing import (
    WEBHOOK_KINDS,
    publish_bundle,
    publish_to_webhooks,
)
from fluxgate_operator.certificates.rotation import RotationSettings
from fluxgate_operator.certificates.secret import AuthoritySecret
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.types import CONFIG_MAPS

from .conftest import helm_of

NAMESPACE = "shop"
ROUTES = "routes.gateway.fluxgate.io"


def route(path: str) -> dict[str, Any]:
    return {
        "spec": {
            "matches": [{"path": {"value": path}}],
            "backends": [{"kind": "Service", "name": "hello", "port": 80}],
        }
    }


def catalog(*names: str) -> dict[str, Any]:
    routes = [{"name": name, **route(f"/{name}")} for name in names]
    return {"catalog": json.dumps({"version": 1, "routes": routes})}


class Release:
    """The release under test: Helm, the cluster, and who runs the Jobs."""

    def __init__(self, plane: OwnControlPlane, helm: Helm, jobs: JobRunner) -> None:
        self.plane = plane
        self.helm = helm
        self.jobs = jobs

    def change(self, verb: str, **values: Any) -> list[str]:
        """``helm install`` or ``upgrade``; the names of the Jobs that ran."""
        return self._ran(
            lambda: self.helm(
                verb, "rel", str(CHART), "-n", NAMESPACE, "--timeout", "180s", values=values
            )
        )

    def run(self, *arguments: str) -> list[str]:
        """Another Helm command; the names of the Jobs that ran."""
        return self._ran(lambda: self.helm(*arguments, "-n", NAMESPACE, "--timeout", "180s"))

    def _ran(self, work: Callable[[], str]) -> list[str]:
        before = len(self.jobs.runs)
        work()
        runs = self.jobs.runs[before:]
        assert self.jobs.problems == []
        assert {each.name: each.output for each in runs if each.code} == {}
        return [each.name for each in runs]

    def routes(self) -> dict[str, str]:
        """The path of every Route of the namespace, by name."""
        listed = json.loads(self.plane.kubectl("get", ROUTES, "-n", NAMESPACE, "-o", "json"))
        return {
            each["metadata"]["name"]: each["spec"]["matches"][0]["path"]["value"]
            for each in listed["items"]
        }

    def objects(self) -> set[str]:
        """Every object that carries the release's label, or that Helm keeps of it."""
        kinds = self.plane.kubectl("api-resources", "--verbs=list", "-o", "name").split()
        found = self.plane.kubectl(
            *("get", ",".join(kinds), "-A", "-o", "name", "--ignore-not-found"),
            *("-l", "app.kubernetes.io/instance=rel"),
        )
        kept = self.plane.kubectl(
            "get", "secrets", "-n", NAMESPACE, "-o", "name", "-l", "owner=helm"
        )
        return set((found + kept).split())


@pytest.fixture
def release(new_cluster: OwnControlPlane, tmp_path: Path) -> Any:
    new_cluster.new_namespace(NAMESPACE)
    new_cluster.kubectl(
        "label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted"
    )
    with running_jobs(new_cluster, NAMESPACE, tmp_path) as jobs:
        yield Release(new_cluster, helm_of(new_cluster, tmp_path), jobs)


def test_a_release_lives_from_install_to_uninstall(release: Release) -> None:
    plane = release.plane

    ran = release.change("install", routes={"hello": route("/hello")}, publicRoutes=catalog("a"))
    assert ran == ["rel-fluxgate-crds", "rel-fluxgate-routes"]
    assert release.routes() == {"hello": "/hello", "a": "/a"}
    assert "rel-fluxgate" in plane.kubectl("get", "gatewayconfigs", "-n", NAMESPACE)

    plane.kubectl(
        *("apply", "-n", NAMESPACE, "-f", "-"),
        stdin=json.dumps(
            {
                "apiVersion": "gateway.fluxgate.io/v1alpha1",
                "kind": "Route",
                "metadata": {"name": "mine"},
                **route("/mine"),
            }
        ),
    )
    plane.kubectl("annotate", "crd", ROUTES, "example.com/kept=yes")
    plane.kubectl(  # as an older version left it
        "patch", "crd", ROUTES, "--type=json", "-p",
        '[{"op": "replace", "path": "/spec/names/shortNames", "value": ["old"]}]',
    )  # fmt: skip
    ran = release.change("upgrade", routes={"hello": route("/hi")}, publicRoutes=catalog("b"))
    assert ran == ["rel-fluxgate-crds", "rel-fluxgate-routes"]
    assert release.routes() == {"hello": "/hi", "b": "/b", "mine": "/mine"}
    definition = json.loads(plane.kubectl("get", "crd", ROUTES, "-o", "json"))
    assert definition["spec"]["names"]["shortNames"] == ["fgr"]
    assert definition["metadata"]["annotations"]["example.com/kept"] == "yes"

    assert release.run("rollback", "rel", "1") == ["rel-fluxgate-routes"]
    assert release.routes() == {"hello": "/hello", "a": "/a", "mine": "/mine"}

    assert release.run("uninstall", "rel") == ["rel-fluxgate-routes-removal"]
    assert release.routes() == {"mine": "/mine"}
    assert release.objects() == set()


async def test_what_the_controller_wrote_outlives_an_upgrade_and_goes_with_the_release(
    release: Release,
) -> None:
    release.change("install")
    kept = release.plane.kubeconfig_for(NAMESPACE, "rel-fluxgate-controller")
    access = await load_access(kept, None, {})
    async with KubeClient(access) as client:  # with no right but the controller's own
        secret = AuthoritySecret(client, NAMESPACE, RotationSettings(), utc_now)
        authorities = await secret.current()
        await publish_bundle(client, NAMESPACE, authorities.bundle)
        await publish_to_webhooks(client, f"rel-fluxgate-controller-{NAMESPACE}", b"bundle")

        release.change("upgrade", webhooks={"timeoutSeconds": 7})

        assert await secret.current() == authorities
        bundle = await client.get(CONFIG_MAPS, NAMESPACE, "fluxgate-ca")
        assert bundle["data"] == {"ca.crt": authorities.bundle.decode()}
        for kind in WEBHOOK_KINDS:
            name = f"rel-fluxgate-controller-{NAMESPACE}"
            (webhook,) = (await client.get(kind, None, name))["webhooks"]
            assert webhook["timeoutSeconds"] == 7
            assert b64decode(webhook["clientConfig"]["caBundle"]) == b"bundle"
    release.run("uninstall", "rel")
    assert release.objects() == set()
    kinds = "secrets,configmaps,leases,serviceaccounts,roles,rolebindings,jobs"
    left = release.plane.kubectl("get", kinds, "-n", NAMESPACE, "-o", "name").split()
    assert left == ["serviceaccount/default"]


def test_a_controller_with_the_chart_s_rights_is_refused_nothing_and_leaves_nothing(
    release: Release,
) -> None:
    release.change("install", routes={"hello": route("/hello")})
    login = release.plane.kubeconfig_for(NAMESPACE, "rel-fluxgate-controller")
    arguments = ("--insecure", "--namespace", NAMESPACE, "--identity", "pod-a")
    ports = ("--xds-port", "0", "--http-port", "0", "--service", "rel-fluxgate-controller")
    controller = subprocess.Popen(
        [sys.executable, "-m", "fluxgate_cli.main", "controller", *arguments, *ports],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=release.plane.environment(login),
    )
    try:
        assert controller.stdout is not None
        assert any(line.startswith("ready:") for line in controller.stdout)
        release.plane.kubectl(
            *("wait", f"{ROUTES}/hello", "-n", NAMESPACE, "--timeout=120s"),
            "--for=condition=Accepted",
        )
    finally:
        controller.terminate()
        controller.communicate(timeout=60)
    asked = release.plane.audit_events(f"system:serviceaccount:{NAMESPACE}:rel-fluxgate-controller")
    assert asked
    assert [each["requestURI"] for each in asked if each["responseStatus"]["code"] == 403] == []
    release.run("uninstall", "rel")
    assert release.plane.kubectl("get", "leases", "-n", NAMESPACE, "-o", "name") == ""


def test_an_upgrade_stops_when_a_route_belongs_to_somebody_else(release: Release) -> None:
    release.change("install")
    mine = {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Route",
        "metadata": {"name": "hello"},
        **route("/mine"),
    }
    release.plane.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(mine))
    with pytest.raises(HelmError, match="rel-fluxgate-routes"):
        release.change("upgrade", routes={"hello": route("/theirs")})
    assert "foreign  hello" in release.jobs.runs[-1].output
    assert release.routes() == {"hello": "/mine"}


def test_the_admin_apis_database_is_migrated_before_it_and_its_master_key_outlives_everything(
    release: Release, postgres: Postgres
) -> None:
    url = postgres.new_database()
    admin = {"enabled": True, "replicas": 2, "database": {"url": url}}

    def master_key() -> str:
        found = release.plane.kubectl(
            *("get", "secret", "-n", NAMESPACE, "rel-fluxgate-admin-master-keys"),
            *("-o", "jsonpath={.data.keys}"),
        )
        return b64decode(found).decode()

    ran = release.change("install", admin=admin, bootstrap={"enabled": False})
    assert ran == ["rel-fluxgate-admin-migration", "rel-fluxgate-crds"]
    assert release.jobs.runs[0].output == f"at revision {head()}\n"
    assert head() in postgres.dump(url)
    first = master_key()

    assert "rel-fluxgate-admin-migration" in release.change(
        "upgrade", admin={**admin, "replicas": 3}, bootstrap={"enabled": False}
    )
    assert master_key() == first

    release.run("uninstall", "rel")
    assert release.objects() == {"secret/rel-fluxgate-admin-master-keys"}
    # the next release of this name opens what the one before has sealed
    release.change("install", admin=admin, bootstrap={"enabled": False})
    assert master_key() == first


def test_an_install_stops_when_the_database_cannot_be_migrated(release: Release) -> None:
    nowhere = "postgresql+psycopg://fluxgate@127.0.0.1:1/fluxgate?connect_timeout=2"
    with pytest.raises(HelmError, match="rel-fluxgate-admin-migration"):
        release.change("install", admin={"enabled": True, "database": {"url": nowhere}})
    (run,) = [each for each in release.jobs.runs if each.name.endswith("-migration")]
    assert "cannot be used" in run.output
    assert "Traceback" not in run.output
