"""The command line as people and pipelines use it on Kubernetes: processes, a real API server, a real Envoy."""

from __future__ import annotations

import json
import os
import signal
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cluster import ClusterError
from support.cluster_cli import GROUP, KINDS, ClusterCli, put_certificate
from support.envoy import eventually
from support.tls import handshake, trusting
from support.upstream import EchoUpstream

from fluxgate_cli.errors import ExitCode

pytestmark = pytest.mark.envoy

API = f"apiVersion: {GROUP}/v1alpha1\n"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
SERVERS_OWN = (
    "resourceVersion",
    "managedFields",
    "uid:",
    "creationTimestamp",
    "generation",
    "status:",
)

Write = Callable[[str], Path]


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Write:
    """Write the one file of a test's folder."""

    def write(text: str) -> Path:
        root = tmp_path / "wanted"
        root.mkdir(exist_ok=True)
        (root / "all.yaml").write_text(text)
        return root

    return write


def made(kind: str, name: str, spec: str, **metadata: object) -> str:
    meta = json.dumps({"name": name, **metadata})
    return f"{API}kind: {kind}\nmetadata: {meta}\nspec: {spec}\n---\n"


def backend(name: str, port: int = 9, **metadata: object) -> str:
    return made("Backend", name, f'{{url: "http://127.0.0.1:{port}"}}', **metadata)


def route(name: str, target: str, path: str = "", **metadata: object) -> str:
    spec = f"{{matches: [{{path: {{value: {path or '/' + name}}}}}], auth: {{mode: None}}, "
    return made("Route", name, f"{spec}backends: [{{name: {target}}}]}}", **metadata)


def test_a_folder_is_applied_and_served_and_applying_it_again_writes_nothing(
    cli: ClusterCli, folder: Write, echo: EchoUpstream
) -> None:
    wanted = folder(route("life", "life") + backend("life", echo.port))
    assert cli.fluxgate("diff", wanted, "--set", "life").code == 2
    applied = cli.fluxgate("apply", wanted, "--set", "life", "--reason", "a release")
    assert applied.code == 0, applied.err
    assert "every node serves them" in applied.err
    assert cli.status("/life") == 200
    before = cli.stored("routes", "life")
    managers = {each["manager"] for each in before["metadata"]["managedFields"]}
    assert "fluxgate-admin" in managers

    again = cli.shown("apply", wanted, "--set", "life")
    assert {each["outcome"] for each in again["results"]} == {"unchanged"}
    assert cli.stored("routes", "life") == before

    shown = cli.shown("routes", "get", "life")
    assert shown["created_at"] == before["metadata"]["creationTimestamp"]
    assert (shown["sync_status"], shown["id"][:3]) == ("propagated_to_all_nodes", "rt_")


def test_an_edit_by_another_client_is_drift_is_in_history_and_can_be_taken_back(
    cli: ClusterCli, folder: Write
) -> None:
    wanted = folder(route("edited", "edited") + backend("edited"))
    assert cli.fluxgate("apply", wanted, "--set", "edited").code == 0
    condition = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""}
    moment = {"lastTransitionTime": "2024-01-01T00:00:00Z"}
    cli.patch("routes", "edited/status", {"status": {"conditions": [condition | moment]}})
    cli.patch("routes", "edited", {"spec": {"matches": [{"path": {"value": "/elsewhere"}}]}})

    def revisions() -> list[dict[str, Any]]:
        answer = cli.admin.call("GET", "/v2/history?kind=Route&name=edited")
        return [each for each in answer.json()["data"] if each["change"] == "updated"]

    (edit,) = cli.admin.until(revisions, "the revision of the edit")
    drift = cli.fluxgate("diff", wanted, "--set", "edited")
    assert drift.code == 2
    changed = [line for line in drift.out.splitlines() if line[:1] in "+-" and line[1:2] == " "]
    assert changed == ["-      value: /elsewhere", "+      value: /edited"]

    listed = cli.shown("history", "list", "--kind", "Route", "--name", "edited")
    assert [(each["author"], each["via"]) for each in listed][:1] == [("kubectl-patch", "watch")]
    back = cli.shown("history", "rollback", edit["revision"], "--to", "before")
    assert (back["changed"], back["sync_status"]) == (True, "propagated_to_all_nodes")
    assert cli.stored("routes", "edited")["spec"]["matches"][0]["path"]["value"] == "/edited"


def test_nothing_is_deleted_without_the_flag_nor_without_the_label_of_the_set(
    cli: ClusterCli, folder: Write
) -> None:
    both = folder(backend("kept") + backend("dropped"))
    assert cli.fluxgate("apply", both, "--set", "pruned", "--no-wait").code == 0
    cli.plane.request("POST", cli.path("backends"), yaml.safe_load(backend("others")[:-4]))
    cli.admin.until(lambda: _knows(cli, "Backend", "others"), "the Backend of another client")
    less = folder(backend("kept"))
    assert cli.fluxgate("apply", less, "--set", "pruned").code == 0
    assert cli.stored("backends", "dropped")["metadata"]["labels"] == {
        f"{GROUP}/managed-by": "pruned"
    }
    pruned = cli.shown("apply", less, "--set", "pruned", "--prune")
    outcomes = {each["name"]: each["outcome"] for each in pruned["results"]}
    assert outcomes == {"kept": "unchanged", "dropped": "deleted"}
    assert cli.stored("backends", "others")
    with pytest.raises(ClusterError, match="404"):
        cli.stored("backends", "dropped")


def test_what_kubectl_applied_is_dumped_as_it_was_written_and_goes_into_another_namespace(
    cli: ClusterCli, folder: Write, tmp_path: Path
) -> None:
    text = route("copied", "copied", labels={"team": "a"}) + backend("copied")
    cli.plane.kubectl("apply", "-n", cli.namespace, "-f", "-", stdin=text)
    cli.admin.until(lambda: _knows(cli, "Route", "copied"), "the Route")
    kinds = ("--kind", "Route", "--kind", "Backend")
    done = cli.fluxgate("dump", tmp_path / "copy", *kinds, "--no-namespace")
    assert done.code == 0, done.err
    dumped = (tmp_path / "copy/routes/copied.yaml").read_text()
    assert not [each for each in (*SERVERS_OWN, "namespace", "last-applied") if each in dumped]
    written = yaml.safe_load(text.split("---\n")[0])
    written["metadata"]["name"] = "copied"
    assert yaml.safe_load(dumped) == written, "no default that the API server filled in"

    assert cli.fluxgate("diff", tmp_path / "copy", "-n", cli.namespace).code == 0
    for path in (tmp_path / "copy").rglob("*.yaml"):
        if path.stem != "copied":
            path.unlink()
    before = cli.stored("routes", "copied")
    # one gateway serves both namespaces, and a match has one owner
    cli.plane.kubectl("delete", "-n", cli.namespace, "-f", "-", stdin=text)
    cli.admin.until(lambda: not _knows(cli, "Route", "copied"), "the end of the Route")
    applied = cli.shown("apply", tmp_path / "copy", "-n", cli.poor)
    assert [each["outcome"] for each in applied["results"]] == ["created", "created"]
    assert cli.stored("routes", "copied", cli.poor)["spec"] == before["spec"]


def test_an_openapi_document_becomes_routes_that_are_served(
    cli: ClusterCli, tmp_path: Path, echo: EchoUpstream
) -> None:
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Shelf", "version": "1"},
        "servers": [{"url": f"http://127.0.0.1:{echo.port}/shelf"}],
        "paths": {"/books/{id}": {"get": {"responses": {}}}},
    }
    (tmp_path / "api.json").write_text(json.dumps(document))
    imported = cli.fluxgate("import", "openapi", tmp_path / "api.json", "--to", tmp_path / "out")
    assert imported.code == 0, imported.err
    applied = cli.fluxgate("apply", tmp_path / "out", "--set", "shelf")
    assert applied.code == 0, applied.err
    assert cli.status("/shelf/books/7") == 200
    assert cli.status("/shelf/books") == 404
    told = cli.shown("explain", "GET", "/shelf/books/7", "--api", "key")
    assert told["gateway"] == f"{cli.namespace}/main"
    assert told["object"].startswith(f"Route {cli.namespace}/shelf")


def test_a_node_that_stands_still_is_named_by_a_write_and_by_the_list_of_nodes(
    cli: ClusterCli,
) -> None:
    options = ("--path", "/still/*", "--upstream", "http://127.0.0.1:9")
    os.kill(cli.envoy, signal.SIGSTOP)
    try:
        late = cli.fluxgate("routes", "create", "still", *options, "--timeout", "1")
        assert late.code == ExitCode.NOT_READY
        assert "envoy-0" in late.err
    finally:
        os.kill(cli.envoy, signal.SIGCONT)
    waited = cli.fluxgate("status", "--api", "key", "--wait")
    assert waited.code == 0, waited.err
    (node,) = cli.shown("nodes", "list", "--gateway", f"{cli.namespace}/main")
    assert (node["id"], node["sync_state"]) == ("envoy-0", "synced")
    assert node["gateway"] == f"{cli.namespace}/main"


@pytest.fixture(scope="module")
def strict(cli: ClusterCli) -> Iterator[None]:
    """The cluster admits no Upstreams in the poor namespace, and nothing that is called ``unwanted``."""
    path = f"/api/v1/namespaces/{cli.poor}/resourcequotas"
    hard = {f"count/upstreams.{GROUP}": "0"}
    quota = cli.plane.request("POST", path, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    cli.plane.request("PUT", f"{path}/q/status", {**quota, "status": {"hard": hard, "used": hard}})
    name = f"names-{cli.namespace}"
    rule = {"apiGroups": [GROUP], "apiVersions": ["*"], "operations": ["CREATE"]}
    here = {"matchLabels": {"kubernetes.io/metadata.name": cli.namespace}}
    constraints = {"resourceRules": [{**rule, "resources": ["*"]}], "namespaceSelector": here}
    words = {"message": "such a name cannot be used here", "reason": "Forbidden"}
    validation = {"expression": "object.metadata.name != 'unwanted'", **words}
    policy = {"matchConstraints": constraints, "validations": [validation]}
    binding = {"policyName": name, "validationActions": ["Deny"]}
    kinds = {
        "validatingadmissionpolicies": policy,
        "validatingadmissionpolicybindings": binding,
    }
    for plural, spec in kinds.items():
        body = {"metadata": {"name": name}, "spec": spec}
        cli.plane.request("POST", f"{ADMISSION}/{plural}", body)
    eventually(lambda: _refused(cli, "unwanted"), what="the policy is in force")
    yield
    for plural in kinds:
        cli.plane.request("DELETE", f"{ADMISSION}/{plural}/{name}")


def test_each_refusal_of_the_api_server_says_where_and_why_and_stops_no_other_object(
    cli: ClusterCli, folder: Write, strict: None
) -> None:
    limits = "{type: rate-limit, config: {requests: 5, window: 1m}}"
    targets = '{targets: [{host: "192.0.2.1", port: 80}]}'
    before = _revisions(cli)
    wanted = folder(
        backend("nowhere", namespace=cli.missing)
        + backend("too-late", namespace=cli.ending)
        + made("Plugin", "no-right", limits, namespace=cli.poor)
        + made("Upstream", "over-quota", targets, namespace=cli.poor)
        + backend("unwanted")
        + backend("bad-label", labels={"team": "not a label!"})
        + backend("too-long", annotations={"example.com/note": "x" * 262_144})
        + backend("good")
        + route("last-of-all", "good")
    )
    tried = cli.fluxgate("apply", wanted, "--dry-run", "-o", "json")
    assert _revisions(cli) == before, "a dry run is no change"
    for each in ("good", "last-of-all"):
        with pytest.raises(ClusterError, match="404"):
            cli.stored("routes" if each == "last-of-all" else "backends", each)
    checked = cli.fluxgate("validate", wanted, "--api", "key", "-o", "json")
    assert checked.code == ExitCode.INVALID
    done = cli.fluxgate("apply", wanted, "-o", "json")
    assert tried.code == done.code == ExitCode.INVALID
    assert "7 of 9 changes were refused" in tried.err
    assert "7 of 9 changes were refused" in done.err
    said = {each["name"]: each for each in json.loads(done.out)["results"]}
    assert said["good"]["outcome"] == said["last-of-all"]["outcome"] == "created"
    foreseen = {each["name"]: each for each in json.loads(tried.out)["results"]}
    assert foreseen == said, "a dry run says of each object what the write says"
    found = {each["object"]: each for each in json.loads(checked.out)["findings"]}
    assert {each["source"] for each in found.values()} == {"store"}
    assert {each["message"] for each in found.values()} == {
        each["message"] for each in said.values() if each["outcome"] == "refused"
    }
    expected = {
        "nowhere": "/metadata/namespace: there is no such namespace",
        "too-late": f"/metadata/namespace: namespace {cli.ending} is being terminated",
        "no-right": "does not let FluxGate's own account do this: plugins.gateway.fluxgate.io is "
        f'forbidden: User "system:serviceaccount:{cli.namespace}:admin" cannot create resource',
        "over-quota": "exceeded quota: q",
        "unwanted": "denied request: such a name cannot be used here",
        "bad-label": "/metadata/labels: Invalid value",
        "too-long": "/metadata/annotations: Too long",
    }
    for name, words in expected.items():
        assert said[name]["outcome"] == "refused", name
        assert words in said[name]["message"], said[name]
    assert "own account" not in said["unwanted"]["message"], (
        "a 403 by admission is no missing right"
    )
    assert "nil" not in said["too-long"]["message"], "what was not looked at is no finding"


def test_a_refusal_by_the_cluster_is_told_at_once_with_the_place_in_the_body(
    cli: ClusterCli,
) -> None:
    limits = "{name: weak, type: rate_limit, config: {requests: 5, window: 1m}}"
    to = ("--path", "/x", "--upstream", "http://127.0.0.1:9")
    for how in (("--dry-run",), ()):
        refused = cli.fluxgate("plugins", "create", "--data", limits, "-n", cli.poor, *how)
        assert refused.code == ExitCode.REFUSED, "it is not tried again and again"
        assert f'plugins" in API group "{GROUP}" in the namespace "{cli.poor}"' in refused.err
        lost = cli.fluxgate("routes", "create", "lost", *to, "-n", cli.missing, *how)
        assert lost.code == ExitCode.INVALID
        assert "/namespace: there is no such namespace" in lost.err
    revisions = cli.admin.call("GET", "/v2/history?kind=Plugin").json()["data"]
    assert "weak" not in {each["object"]["name"] for each in revisions}


def test_validation_by_the_api_asks_the_api_server_too(cli: ClusterCli, strict: None) -> None:
    def object_(kind: str, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
        metadata = {"name": name, "namespace": namespace}
        return {"apiVersion": f"{GROUP}/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}

    url = {"url": "http://127.0.0.1:9"}
    limits = {"type": "rate-limit", "config": {"requests": 5, "window": "1m"}}
    targets = {"targets": [{"host": "192.0.2.1", "port": 80}]}
    body = {
        "objects": [
            object_("Backend", "nowhere", cli.missing, url),
            object_("Plugin", "no-right", cli.poor, limits),
            object_("Upstream", "over-quota", cli.poor, targets),
            object_("Backend", "unwanted", cli.namespace, url),
            object_("Backend", "fine", cli.namespace, url),
        ],
        "routes": [
            {
                "name": "lost",
                "namespace": cli.missing,
                "match": {"path": "/lost"},
                "upstream": "http://127.0.0.1:9",
            }
        ],
    }
    found = cli.admin.call("POST", "/v2/config/validate", body)
    assert found.status_code == 200, found.text
    assert found.json()["valid"] is False
    assert [(each["pointer"], each["source"]) for each in found.json()["problems"]] == [
        ("/routes/0/namespace", "store"),
        ("/objects/0/metadata/namespace", "store"),
        ("/objects/1", "store"),
        ("/objects/2", "store"),
        ("/objects/3", "store"),
    ]
    assert found.json()["warnings"] == []
    with pytest.raises(ClusterError, match="404"):
        cli.stored("backends", "fine")
    fine = cli.admin.call("POST", "/v2/config/validate", {"objects": body["objects"][-1:]})
    assert (fine.json()["valid"], fine.json()["warnings"]) == (True, [])


def test_an_oauth2_client_reads_and_writes_nothing(cli: ClusterCli) -> None:
    body = {"name": "reader", "scopes": ["routes:read", "nodes:read"]}
    issued = cli.admin.call("POST", "/v2/auth/clients", body).json()
    (cli.home / "client-secret").write_text(issued["client_secret"])
    account = ("--client-id", issued["client_id"])
    done = cli.fluxgate(
        *("context", "set", "reader", "--server", cli.admin.ready["admin"], *account),
        *("--client-secret-file", cli.home / "client-secret", "--namespace", cli.namespace),
        *("--ca-file", cli.home / "ca.pem"),
    )
    assert done.code == 0, done.err
    assert cli.shown("nodes", "list", "--api", "reader")[0]["id"] == "envoy-0"
    to = ("--path", "/reader", "--upstream", "http://127.0.0.1:9")
    refused = cli.fluxgate("routes", "create", "reader", *to, "--api", "reader")
    assert refused.code == ExitCode.REFUSED
    assert "Token lacks routes:write permission" in refused.err


def test_a_pipeline_in_a_pod_does_what_rbac_lets_it_in_the_namespace_it_names(
    cli: ClusterCli, folder: Write
) -> None:
    (cli.home / "token").write_text(cli.account("ci", cli.poor, ("routes", "backends")))
    done = cli.fluxgate(
        *("context", "set", "ci", "--server", cli.admin.ready["admin"]),
        *("--token-file", cli.home / "token", "--namespace", cli.poor),
        *("--ca-file", cli.home / "ca.pem"),
    )
    assert done.code == 0, done.err
    wanted = folder(route("piped", "piped") + backend("piped"))
    applied = cli.shown("apply", wanted, "--set", "ci", "--api", "ci")
    assert [each["outcome"] for each in applied["results"]] == ["created", "created"]
    assert applied["sync_status"] == "propagated_to_all_nodes"
    assert cli.fluxgate("diff", wanted, "--set", "ci", "--prune", "--api", "ci").code == 0
    assert cli.shown("routes", "get", "piped", "--api", "ci")["namespace"] == cli.poor
    author = cli.admin.call("GET", f"/v2/history?kind=Route&name=piped&namespace={cli.poor}")
    assert f"{cli.namespace}:ci" in author.json()["data"][0]["author"]
    changed = cli.fluxgate("routes", "update", "piped", "--data", "{timeout: 3s}", "--api", "ci")
    assert changed.code == 0, changed.err
    elsewhere = cli.fluxgate("apply", wanted, "-n", cli.namespace, "--api", "ci")
    assert elsewhere.code == ExitCode.REFUSED
    assert "Token lacks" in elsewhere.err
    assert cli.fluxgate("routes", "delete", f"{cli.poor}/piped", "--api", "ci").code == 0


def test_a_token_reads_history_in_the_namespace_it_names(cli: ClusterCli) -> None:
    """Without a name it is good for that of its ServiceAccount, where this one may nothing."""
    (cli.home / "historian").write_text(cli.account("historian", cli.poor, KINDS))
    done = cli.fluxgate(
        *("context", "set", "pod", "--server", cli.admin.ready["admin"]),
        *("--token-file", cli.home / "historian", "--ca-file", cli.home / "ca.pem"),
    )
    assert done.code == 0, done.err
    to = ("--path", "/past/*", "--upstream", "http://127.0.0.1:9", "-n", cli.poor)
    made = cli.fluxgate("routes", "create", "past", *to, "--no-wait")
    assert made.code == 0, made.err
    (first,) = cli.shown("history", "list", "--name", "past", "--kind", "Route", "-n", cli.poor)
    revision = first["revision"]
    for command in (("history", "get", revision), ("history", "diff", revision)):
        assert cli.fluxgate(*command, "--api", "pod").code == ExitCode.REFUSED, command
        done = cli.fluxgate(*command, "-n", cli.poor, "--api", "pod")
        assert done.code == 0, f"{command}: {done.err}"
    rollback = ("history", "rollback", revision, "--to", "before", "-n", cli.poor)
    refused = cli.fluxgate(*rollback, "--api", "pod")
    assert "history:write" in refused.err, "no right of the cluster stands for it"
    done = cli.fluxgate(*rollback, "--no-wait")
    assert done.code == 0, done.err


def test_a_name_without_a_namespace_is_looked_for_where_the_server_puts_it(
    cli: ClusterCli,
) -> None:
    """Its FLUXGATE_ADMIN_DEFAULT_NAMESPACE is not ``default``, and the context says none."""
    done = cli.fluxgate(
        *("context", "set", "bare", "--server", cli.admin.ready["admin"]),
        *("--key-file", cli.home / "key", "--secret-file", cli.home / "secret"),
        *("--ca-file", cli.home / "ca.pem"),
    )
    assert done.code == 0, done.err
    bare = ("--api", "bare")
    to = ("--path", "/bare/*", "--upstream", "http://127.0.0.1:9")
    made = cli.shown("routes", "create", "bare", *to, *bare)
    shown = cli.shown("routes", "get", "bare", *bare)
    assert (shown["id"], shown["namespace"]) == (made["id"], cli.namespace)
    changed = cli.fluxgate("routes", "update", "bare", "--data", "{timeout: 3s}", *bare)
    assert changed.code == 0, changed.err
    assert cli.fluxgate("routes", "delete", "bare", *bare).code == 0
    lost = cli.fluxgate("routes", "get", "bare", *bare)
    assert lost.code == ExitCode.REFUSED
    assert f"There is no Route {cli.namespace}/bare" in lost.err


def test_a_renewed_certificate_is_shown_without_a_restart_and_a_broken_one_is_not(
    cli: ClusterCli,
) -> None:
    port = int(cli.admin.ready["admin"].rpartition(":")[2])

    def shown() -> bytes:
        with handshake(port, trusting(cli.authority), "127.0.0.1") as connection:
            return connection.getpeercert(binary_form=True) or b""

    renewed = ssl.PEM_cert_to_DER_cert(put_certificate(cli.home, cli.authority).decode())
    cli.admin.until(lambda: shown() == renewed, "the new certificate")
    (cli.home / "tls.key").write_bytes(cli.authority.issue("127.0.0.1").key)
    cli.admin.until(lambda: "is not the key of" in cli.admin.stderr, "the warning")
    assert shown() == renewed
    assert cli.fluxgate("nodes", "list").code == 0


def _knows(cli: ClusterCli, kind: str, name: str) -> bool:
    target = f"/v2/objects/{kind}/{cli.namespace}/{name}"
    return bool(cli.admin.call("GET", target).status_code == 200)


def _revisions(cli: ClusterCli) -> list[int]:
    answer = cli.admin.call("GET", "/v2/history?limit=500").json()
    return [each["revision"] for each in answer["data"]]


def _refused(cli: ClusterCli, name: str) -> bool:
    """Whether the API server would not store an object of this name."""
    try:
        path = cli.path("backends") + "?dryRun=All"
        cli.plane.request("POST", path, yaml.safe_load(backend(name)[:-4]))
    except ClusterError as error:
        return "denied request" in str(error)
    return False
