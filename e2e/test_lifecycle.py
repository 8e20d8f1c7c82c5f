"""A release from its installation to its end, by Helm, in a cluster of its own."""

import json
from pathlib import Path

import httpx
import pytest
from support.load import Load
from support.rights import was_refused

from e2e import exact_limits
from e2e.admin_api import AdminApi
from e2e.application import echo
from e2e.manifests import route, text
from e2e.waiting import eventually

CHART = str(Path(__file__).resolve().parents[1] / "charts" / "fluxgate")
RELEASE, SYSTEM, TEAM = "shop", "shop-system", "team"
SHOP = f"shop.{TEAM}.svc.cluster.local"
GATEWAY, CONTROLLER = f"{RELEASE}-fluxgate-gateway", f"{RELEASE}-fluxgate-controller"
ADMIN = f"{RELEASE}-fluxgate-admin"
ROUTES = "routes.gateway.fluxgate.io"
KINDS = {"apikeys", "backends", "gatewayconfigs", "plugins", "routes", "tenants", "upstreams"}


class Helm:
    """Helm commands on the one release; values go by file."""

    def __init__(self, cluster, folder):
        self._cluster, self._folder = cluster, folder

    def change(self, verb, *flags, **values):
        file = self._folder / "values.json"
        file.write_text(json.dumps({**self._cluster.values, **values}))
        self(verb, RELEASE, CHART, "-f", str(file), "--wait", *flags)

    def __call__(self, *arguments):
        return self._cluster.helm(*arguments, "-n", SYSTEM)


@pytest.fixture
def helm(lone_cluster, tmp_path):
    return Helm(lone_cluster, tmp_path)


@pytest.fixture(scope="module")
def cluster(lone_cluster):
    """With the namespaces of the release and of a team, and an application in each."""
    for namespace in (SYSTEM, TEAM):
        lone_cluster.kubectl("create", "namespace", namespace)
        lone_cluster.kubectl(
            "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"
        )
        echo(lone_cluster, namespace, "shop")
    return lone_cluster


def everything(cluster):
    """Every object of every kind, but for what the cluster itself writes as it runs."""
    kinds = set(cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split())
    kinds -= {"events", "events.events.k8s.io"}
    listed = cluster.kubectl(
        *("get", ",".join(sorted(kinds)), "-A", "--ignore-not-found", "--no-headers"),
        *("-o", "custom-columns=K:.kind,N:.metadata.namespace,M:.metadata.name"),
    )
    return {tuple(line.split()) for line in listed.splitlines()}


def declared(path, *plugins):
    """The spec of a Route to the application, as values and catalogues have it."""
    return {
        "spec": {
            "matches": [{"path": {"value": path}}],
            "backends": [{"kind": "Service", "name": "shop", "port": 8000}],
            "plugins": plugins,
        }
    }


def catalog(*names):
    routes = [{"name": name, **declared(f"/{name}")} for name in names]
    return {"catalog": json.dumps({"version": 1, "routes": routes})}


def status_of(url, path):
    return httpx.get(f"{url}{path}").status_code


def served(url, *paths):
    eventually(
        f"{paths} served", lambda: [status_of(url, each) for each in paths] == [200] * len(paths)
    )


def pods(cluster, component):
    label = f"app.kubernetes.io/component={component}"
    return json.loads(cluster.kubectl("get", "pods", "-n", SYSTEM, "-l", label, "-o", "json"))[
        "items"
    ]


OURS = {f"system:serviceaccount:{SYSTEM}:{each}" for each in (CONTROLLER, ADMIN)}


def refused(cluster):
    """What the controller and the admin API asked for and may not have."""
    return [
        (each["verb"], each["requestURI"])
        for each in cluster.requests()
        if each["user"].get("username", "") in OURS and was_refused(each)
    ]


LIMITED = {
    "one": declared("/one", exact_limits.limit(1)),
    "limited": declared("/limited", exact_limits.limit(exact_limits.ADMITTED)),
}
V1 = {
    "routes": {
        "stays": declared("/stays"),
        "changes": declared("/old"),
        "goes": declared("/goes"),
        **LIMITED,
    },
    "publicRoutes": catalog("public"),
    "gateway": {"config": exact_limits.gateway_config("Open")},
    "rateLimit": exact_limits.VALUES,
    "admin": {"enabled": True, "limits": {"writes": 100}},
}
BY_HTTP = {
    "name": "by-http",
    "namespace": TEAM,
    "match": {"path": "/by-http/*"},
    "upstream": f"http://{SHOP}:8000",
}
V2 = {
    "routes": {"stays": declared("/stays"), "changes": declared("/new"), **LIMITED},
    "publicRoutes": catalog("public", "later"),
    "gateway": {"replicas": 3, "config": exact_limits.gateway_config("Closed")},
    "controller": {"logLevel": "debug"},
    "rateLimit": exact_limits.VALUES,
    "admin": {"enabled": True, "limits": {"writes": 100}, "logLevel": "debug"},
}


def test_a_release_is_installed_changed_broken_rolled_back_and_removed(cluster, helm):
    before = everything(cluster)
    helm.change("install", **V1)
    with cluster.reach(SYSTEM, GATEWAY, 80) as url:
        served(url, "/stays", "/old", "/goes", "/public")
        helm("test", RELEASE, "--timeout=180s")
        cluster.kubectl("apply", "-f", "-", stdin=text(route(TEAM, "mine", "/mine", "shop")))
        served(url, "/mine")
        envoys = exact_limits.Fleet(cluster, SYSTEM, f"{RELEASE}-fluxgate")
        admin = AdminApi(cluster, SYSTEM, ADMIN)
        written_by_http(cluster, admin, envoys)
        with Load(f"{url}/stays") as load:
            counted_together(envoys)
            uncounted(envoys, 200)
            upgraded(cluster, helm, url)
            remembered(admin)
            uncounted(envoys, 503)
            broken(cluster, helm, url)
            helm("rollback", RELEASE, "1", "--wait", "--timeout=180s")
            served(url, "/stays", "/old", "/goes", "/public", "/mine")
            eventually("not /new", lambda: status_of(url, "/new") == 404)
        remembered(admin)
        assert load.failed == {}
        assert load.total > 300
    assert refused(cluster) == []
    gone(cluster, helm, before)


def written_by_http(cluster, admin, envoys):
    """The admin API: the first key, a signed write, what kubectl wrote, and what a pod's token may."""
    admin.bootstrap()
    assert admin.refuses_a_second_bootstrap()
    made = admin.call("POST", "/v2/routes?timeout=60", BY_HTTP)
    assert (made.status_code, made.json()["sync_status"]) == (201, "propagated_to_all_nodes"), (
        made.text
    )
    # the very next request to every Envoy
    found = envoys.statuses("/by-http/now")
    assert set(found) == {200}, found
    cluster.kubectl("wait", "--for=condition=Programmed", f"{ROUTES}/by-http", "-n", TEAM)
    listed = listed_routes(admin)
    assert listed["by-http"]["id"] == made.json()["id"]
    assert listed["mine"]["id"].startswith("rt_")
    assert admin.call("GET", f"/v2/routes/{listed['mine']['id']}").json()["name"] == "mine"
    token = admin.token_of(TEAM, "reader", "get", "list")
    eventually("the token reads", lambda: "mine" in listed_routes(admin, token))
    refusal = admin.call("POST", "/v2/routes", {**BY_HTTP, "name": "not-by-me"}, token)
    assert (refusal.status_code, refusal.json()["error"]) == (403, "scope_mismatch"), refusal.text
    admin.every_kind_is_written_read_and_deleted(TEAM)


def listed_routes(admin, token=""):
    """The routes of the team, by name."""
    answer = admin.call("GET", f"/v2/routes?namespace={TEAM}&limit=500", token=token)
    assert answer.status_code == 200, answer.text
    return {each["name"]: each for each in answer.json()["data"]}


def remembered(admin):
    """After an upgrade or a rollback: its key opens it, and it knows who made the route."""

    def do():
        answer = admin.call("GET", f"/v2/history?kind=Route&namespace={TEAM}&name=by-http")
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    (revision,) = eventually("the history of before", do)
    assert (revision["change"], revision["author"].partition(":")[0]) == ("created", "key")


def counted_together(envoys):
    """Two Envoys admit exactly as many as allowed together."""
    assert len(envoys.addresses()) == 2
    envoys.all_answer("/one", 429)  # until then one may not have found the service
    found = envoys.statuses("/limited", each=exact_limits.ADMITTED)
    assert found == {200: exact_limits.ADMITTED, 429: exact_limits.ADMITTED}


def uncounted(envoys, status):
    """Without the service the failure mode decides; with it the counts go on, as Redis has them."""
    envoys.all_answer("/limited", 429)
    envoys.lose_the_service()
    envoys.all_answer("/limited", status)
    envoys.restore_the_service()


def upgraded(cluster, helm, url):
    """To the second version; the release before did not have Tenants."""
    cluster.kubectl("delete", "crd", "tenants.gateway.fluxgate.io")
    helm.change("upgrade", "--timeout=180s", **V2)
    served(url, "/stays", "/new", "/public", "/later", "/mine")
    eventually("gone", lambda: [status_of(url, each) for each in ("/old", "/goes")] == [404, 404])
    assert len(pods(cluster, "gateway")) == 3
    assert "tenants.gateway.fluxgate.io" in cluster.kubectl("get", "crd", "-o", "name")


def broken(cluster, helm, url):
    """An upgrade to an image that does not exist."""
    missing = {**cluster.values, "image": {"repository": "nowhere.example.com/fluxgate"}}
    jobs = {"activeDeadlineSeconds": 4, "ttlSecondsAfterFinished": 1}
    with pytest.raises(Exception, match="shop-fluxgate-crds"):  # the hook before anything else
        helm.change("upgrade", "--timeout=180s", **{**V2, **missing, "jobs": jobs})
    with pytest.raises(Exception, match="not ready"):
        helm.change("upgrade", "--timeout=8s", **{**V2, **missing, "crds": {"upgrade": False}})

    def waiting() -> set[str]:
        return {
            status["state"]["waiting"]["reason"]
            for each in pods(cluster, "controller")
            for status in each["status"].get("containerStatuses", ())
            if "waiting" in status["state"]
        }

    eventually("a wait for the image", lambda: waiting() == {"ImagePullBackOff"})
    ready = [each for each in pods(cluster, "controller") if is_ready(each)]
    assert len(ready) == 2
    served(url, "/stays", "/mine")


def is_ready(pod):
    return ("Ready", "True") in {
        (each["type"], each["status"]) for each in pod["status"]["conditions"]
    }


def gone(cluster, helm, before):
    """Nothing is left but definitions and what users made."""
    helm("uninstall", RELEASE, "--wait", "--timeout=180s")
    state = {
        ("Secret", SYSTEM, f"{ADMIN}-master-keys"),
        ("PersistentVolumeClaim", SYSTEM, f"{ADMIN}-data"),
    }
    assert state <= everything(cluster)
    of_admin = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=admin"
    cluster.kubectl("delete", "secret,persistentvolumeclaim", "-n", SYSTEM, "-l", of_admin)
    kept = {
        *(("CustomResourceDefinition", "<none>", f"{each}.gateway.fluxgate.io") for each in KINDS),
        ("APIService", "<none>", "v1alpha1.gateway.fluxgate.io"),
        ("Route", TEAM, "mine"),
        ("Route", TEAM, "by-http"),
        *((kind, TEAM, "reader") for kind in ("ServiceAccount", "Role", "RoleBinding")),
    }
    eventually(
        "as before",
        lambda: everything(cluster) - before == kept or print_left(cluster, before, kept),
    )
    assert before - everything(cluster) == set()


def print_left(cluster, before, kept):
    raise AssertionError(f"left: {sorted(everything(cluster) - before - kept)}")


def test_a_namespaced_release_serves_what_it_watches_and_asks_for_nothing_else(cluster, helm):
    """Rights in two namespaces, Envoy as a DaemonSet, neither Ingresses nor webhooks."""
    helm.change(
        "install",
        controller={"watchNamespaces": [SYSTEM, TEAM], "replicas": 1},
        gateway={"kind": "DaemonSet"},
        ingressClass={"enabled": False},
        webhooks={"enabled": False},
        routes={"home": declared("/home")},
        admin={"enabled": True, "persistence": {"enabled": False}},
    )
    cluster.kubectl("create", "namespace", "elsewhere")
    elsewhere = route("elsewhere", "theirs", "/theirs", "shop")
    cluster.kubectl("apply", "-f", "-", stdin=text(route(TEAM, "mine", "/mine", "shop"), elsewhere))
    with cluster.reach(SYSTEM, GATEWAY, 80) as url:
        served(url, "/home", "/mine")
        assert status_of(url, "/theirs") == 404
    (daemon_set,) = json.loads(cluster.kubectl("get", "daemonsets", "-n", SYSTEM, "-o", "json"))[
        "items"
    ]
    assert daemon_set["status"]["numberReady"] == 1
    theirs = json.loads(cluster.kubectl("get", ROUTES, "-n", "elsewhere", "theirs", "-o", "json"))
    assert "status" not in theirs
    admin = AdminApi(cluster, SYSTEM, ADMIN)
    admin.bootstrap()
    assert set(listed_routes(admin)) == {"by-http", "mine"}
    seen = admin.call("GET", "/v2/routes").json()["data"]
    assert {each["namespace"] for each in seen} == {SYSTEM, TEAM}
    of_cluster = cluster.kubectl(
        "get", "ingressclasses,mutatingwebhookconfigurations,validatingwebhookconfigurations"
    )
    assert of_cluster == ""
    assert refused_now(cluster) == []
    helm("uninstall", RELEASE, "--wait", "--timeout=180s")


def refused_now(cluster):
    """Since the release before was removed, whose controllers lost their rights before they ended."""
    started = pods(cluster, "controller")[0]["metadata"]["creationTimestamp"]
    return [
        (each["verb"], each["requestURI"])
        for each in cluster.requests()
        if each["user"].get("username", "") in OURS
        and each["requestReceivedTimestamp"] >= started
        and was_refused(each)
    ]
