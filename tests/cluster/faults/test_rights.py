"""A right is missing: the controller says which, and what to do, within seconds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cluster.controller.conftest import Site
from support.controller import ControllerProcess, controller
from support.envoy import eventually

SECONDS = 10.0
READ = "--verb=get,list,watch"
OURS = "apikeys,backends,gatewayconfigs,plugins,tenants,upstreams"


@pytest.fixture
def account(site: Site) -> Path:
    """A ServiceAccount that may do everything but what concerns Routes, and list, not watch, Services."""
    group = "gateway.fluxgate.io"
    plane = site.plane
    ours = ",".join(f"{each}.{group}" for each in OURS.split(","))
    allow(site, "read", READ, f"{ours},secrets,endpointslices.discovery.k8s.io")
    allow(site, "services", "--verb=get,list", "services")
    ingresses = "ingresses.networking.k8s.io,ingressclasses.networking.k8s.io"
    plane.kubectl("create", "clusterrole", site.namespace, READ, f"--resource={ingresses}")
    plane.kubectl(
        "create", "clusterrolebinding", site.namespace, f"--clusterrole={site.namespace}",
        f"--serviceaccount={site.namespace}:default",
    )  # fmt: skip
    statuses = ",".join(f"{each}.{group}/status" for each in (*OURS.split(","), "routes"))
    allow(
        site,
        "write",
        "--verb=get,list,create,patch,delete",
        f"leases.coordination.k8s.io,{statuses}",
    )
    site.apply(site.gateway)
    return plane.kubeconfig_for(site.namespace, "default")


def allow(site: Site, name: str, verbs: str, resources: str) -> None:
    """A Role for the namespace's default ServiceAccount."""
    here = ("-n", site.namespace)
    site.plane.kubectl("create", "role", name, *here, verbs, f"--resource={resources}")
    account = f"--serviceaccount={site.namespace}:default"
    site.plane.kubectl("create", "rolebinding", name, *here, f"--role={name}", account)


def readyz(running: ControllerProcess) -> str:
    """The body of ``/readyz``."""
    return running.probe("/readyz")[1]


def test_it_is_not_ready_and_says_what_to_do_until_the_right_is_given(
    site: Site, account: Path
) -> None:
    with controller(account, site.namespace, ready=False) as running:
        running.until(lambda: running.probe("/livez") == (200, "ok\n"), "life")
        began = time.monotonic()
        said = (
            f"Route: ServiceAccount {site.namespace}/default may not list,watch "
            f"routes.gateway.fluxgate.io in namespace {site.namespace}; bind it to a Role made by "
            "`kubectl create role fluxgate-routes --verb=list,watch "
            "--resource=routes.gateway.fluxgate.io`"
        )
        running.until(lambda: said in readyz(running), "the remedy in /readyz")
        running.until(lambda: said in running.stderr, "the remedy on the log")
        assert time.monotonic() - began < SECONDS
        code, body = running.probe("/readyz")
        assert code == 503
        assert body.startswith("the first complete list of the API server is yet to come\n")
        assert running.probe("/livez") == (200, "ok\n"), "a restart would not help"
        assert "may not watch services" in body, "listed, but followed only by lists"
        assert "Backend" not in body

        allow(site, "routes", "--verb=list,watch", "routes.gateway.fluxgate.io")
        running.until(lambda: running.is_ready, "ready")
        eventually(
            lambda: "may not list,watch routes" not in readyz(running),
            what="nothing said of Routes",
        )
        assert readyz(running).startswith("ok\nService: ")

        allow(site, "more", "--verb=watch", "services")
        running.until(lambda: running.probe("/readyz") == (200, "ok\n"), "all is well")


def test_certificates_that_cannot_be_kept_are_told(site: Site, account: Path) -> None:
    with controller(
        account, site.namespace, "--peer-port", "0", ready=False, insecure=False
    ) as running:
        running.until(lambda: "may not update secrets" in readyz(running), "the remedy")
        assert running.probe("/readyz")[0] == 503
        assert readyz(running).startswith("there are no certificates yet\n")
        assert "--resource-name=fluxgate-ca" in running.stderr
