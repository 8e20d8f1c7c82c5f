"""What the chart renders, without any cluster.

``pytest tests/chart --refresh-goldens`` rewrites the golden renders after an intended change; read
the difference before you commit it.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from pathlib import Path

import pytest
import yaml
from support.helm import CHART, Helm, HelmError, Manifest
from support.manifests import not_restricted, pod_templates, problems_of

from fluxgate.secret import SecretBytes
from fluxgate_admin.secret_box import SecretBox
from fluxgate_operator.envoy.token_identity import secret_files

CASES = Path(__file__).parent / "golden"
NAMES = sorted(path.name for path in CASES.iterdir() if path.is_dir())
FILES = {"values.yaml", "rendered.yaml", "notes.txt"}
MONITORING = "monitoring.coreos.com/v1"


def values_of(case: str) -> dict[str, object]:
    return yaml.safe_load((CASES / case / "values.yaml").read_text()) or {}


@pytest.fixture(scope="module")
def rendered(helm: Helm) -> dict[str, list[Manifest]]:
    """The objects of every case."""
    return {name: helm.template(values_of(name), apis=MONITORING) for name in NAMES}


def test_the_matrix_has_the_ways_to_run_it() -> None:
    assert set(NAMES) >= {"defaults", "everything", "namespaced", "own-envoys"}


def test_lint_finds_nothing(helm: Helm) -> None:
    for name in NAMES:
        said = helm("lint", "--strict", str(CHART), values=values_of(name))
        assert "[WARNING]" not in said


@pytest.mark.parametrize("case", NAMES)
def test_a_case_renders_as_it_did(helm: Helm, case: str, *, refresh: bool) -> None:
    folder, values = CASES / case, values_of(case)
    objects = helm.template(values, apis=MONITORING)
    objects.sort(key=lambda each: (each["kind"], each["metadata"]["name"]))
    made = {
        "rendered.yaml": yaml.safe_dump_all(objects, sort_keys=True, width=100),
        "notes.txt": notes_of(helm, values),
    }
    if refresh:
        for name, text in made.items():
            (folder / name).write_text(text)
    assert {path.name for path in folder.iterdir()} == FILES
    for name, text in made.items():
        assert (folder / name).read_text() == text, name


def notes_of(helm: Helm, values: dict[str, object]) -> str:
    shown = helm("install", "fluxgate", str(CHART), "-n", "shop", "--dry-run=client", values=values)
    _, found, notes = shown.partition("NOTES:\n")
    assert found
    return notes.rstrip() + "\n"


@pytest.mark.parametrize("case", NAMES)
def test_every_object_is_valid(rendered: dict[str, list[Manifest]], case: str) -> None:
    assert [problem for each in rendered[case] for problem in problems_of(each)] == []


@pytest.mark.parametrize("case", NAMES)
def test_no_two_objects_have_one_name(rendered: dict[str, list[Manifest]], case: str) -> None:
    names = Counter(
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in rendered[case]
    )
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("case", NAMES)
def test_every_pod_is_restricted_and_takes_any_user_id(
    rendered: dict[str, list[Manifest]], case: str
) -> None:
    templates = list(pod_templates(rendered[case]))
    assert templates
    found = {name: not_restricted(each["spec"]) for name, each in templates}
    assert {name: problems for name, problems in found.items() if problems} == {}


@pytest.mark.parametrize("case", NAMES)
def test_no_command_needs_a_shell(rendered: dict[str, list[Manifest]], case: str) -> None:
    for name, template in pod_templates(rendered[case]):
        pod = template["spec"]
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            words = [*container.get("command", []), *container.get("args", [])]
            words += (
                container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
            )
            assert words, name
            assert not {"sh", "bash", "/bin/sh", "-c"} & set(words) - _envoys_own(container), name


def _envoys_own(container: Manifest) -> set[str]:
    """``envoy -c FILE`` is no shell's -c."""
    return {"-c"} if container.get("command", [""])[0] == "envoy" else set()


@pytest.mark.parametrize("case", NAMES)
def test_every_selector_selects_pods_of_the_chart(
    rendered: dict[str, list[Manifest]], case: str
) -> None:
    pods = [each["metadata"]["labels"] for _, each in pod_templates(rendered[case])]
    for each in rendered[case]:
        spec = each.get("spec") or {}
        selector = spec.get("selector") or spec.get("podSelector")
        # sidecars are in pods of applications, which no chart of ours makes
        elsewhere = each["kind"] == "ServiceMonitor" or "namespaceSelector" in spec
        if elsewhere or not selector:
            continue
        wanted = selector.get("matchLabels", selector)
        assert any(wanted.items() <= labels.items() for labels in pods), each["metadata"]["name"]


@pytest.mark.parametrize("case", NAMES)
def test_named_ports_exist(rendered: dict[str, list[Manifest]], case: str) -> None:
    names = {
        port["name"]
        for _, template in pod_templates(rendered[case])
        for container in template["spec"]["containers"]
        for port in container.get("ports", [])
    }
    used = [
        port["targetPort"]
        for each in rendered[case]
        if each["kind"] == "Service"
        for port in each["spec"]["ports"]
    ]
    used += [
        port["port"]
        for each in rendered[case]
        if each["kind"] == "NetworkPolicy"
        for rule in each["spec"].get("ingress", [])
        for port in rule.get("ports", [])
    ]
    assert {each for each in used if isinstance(each, str)} <= names


def test_the_definitions_are_those_that_make_generate_wrote() -> None:
    committed = {path.name: path.read_text() for path in (CHART.parents[1] / "crds").iterdir()}
    assert {path.name: path.read_text() for path in (CHART / "crds").iterdir()} == committed


def test_a_service_monitor_needs_its_kind_in_the_cluster(helm: Helm) -> None:
    wish = {"serviceMonitor": {"enabled": True}}
    kinds = [each["kind"] for each in helm.template(wish)]
    assert "ServiceMonitor" not in kinds
    assert "ServiceMonitor" in [each["kind"] for each in helm.template(wish, apis=MONITORING)]


def test_listeners_that_share_a_port_are_one_port_of_pod_and_service(helm: Helm) -> None:
    tls = {"certificateRefs": [{"name": "cert"}]}
    listeners = [
        {"name": name, "port": 8443, "protocol": "HTTPS", "hostnames": [f"{name}.example.com"]}
        | {"tls": tls, "http3": True}
        for name in ("a", "b")
    ]
    gateway = {"config": {"listeners": listeners}, "service": {"ports": {"a": 443, "b": 443}}}
    made = {each["kind"]: each for each in helm.template({"gateway": gateway})
            if each["metadata"]["name"].endswith("-gateway")}  # fmt: skip
    ports = [(each["name"], each["port"]) for each in made["Service"]["spec"]["ports"]]
    assert ports == [("a", 443), ("a-quic", 443)]
    (container,) = made["Deployment"]["spec"]["template"]["spec"]["containers"]
    named = [each["name"] for each in container["ports"]]
    assert named[:2] == ["a", "a-quic"]
    assert "b" not in named


def test_the_gateway_is_told_of_the_rate_limit_service(helm: Helm) -> None:
    def told(**service: object) -> object:
        config = {"listeners": [{"name": "http", "port": 8080}]}
        if service:
            config["rateLimitService"] = service
        made = helm.template({"rateLimit": {"enabled": True}, "gateway": {"config": config}})
        (gateway,) = [each for each in made if each["kind"] == "GatewayConfig"]
        return gateway["spec"]["rateLimitService"]

    ours = "http://fluxgate-ratelimit.shop.svc:8081"
    assert told() == {"url": ours}
    assert told(failureMode="Closed") == {"url": ours, "failureMode": "Closed"}
    assert told(url="http://10.0.0.1:8081") == {"url": "http://10.0.0.1:8081"}


def test_a_redis_of_ones_own_replaces_ours_with_its_password(helm: Helm) -> None:
    auth = {"secretName": "theirs", "key": "secret"}
    limit = {"enabled": True, "redis": {"url": "redis.example.com:6379", "auth": auth}}
    made = helm.template({"rateLimit": limit})
    assert not [each for each in made if each["metadata"]["name"].endswith("-redis")]
    (pod,) = [each for name, each in pod_templates(made) if name.endswith("-ratelimit")]
    (service,) = [each for each in pod["spec"]["containers"] if each["name"] == "ratelimit"]
    settings = {each["name"]: each for each in service["env"]}
    assert settings["REDIS_URL"]["value"] == "redis.example.com:6379"
    secret = settings["REDIS_AUTH"]["valueFrom"]["secretKeyRef"]
    assert secret == {"name": "theirs", "key": "secret"}


def test_the_admin_api_is_off_until_it_is_asked_for(rendered: dict[str, list[Manifest]]) -> None:
    named = [each["metadata"]["name"] for each in rendered["defaults"]]
    assert [name for name in named if "-admin" in name] == []


def test_a_database_given_as_a_url_stands_in_secrets_alone(helm: Helm) -> None:
    url = "postgresql+psycopg://fluxgate:canary@postgres.example.com/fluxgate"
    made = helm.template({"admin": {"enabled": True, "replicas": 2, "database": {"url": url}}})
    holders = {each["metadata"]["name"]: each for each in made if "canary" in _plain(each)}
    assert {each["kind"] for each in holders.values()} == {"Secret"}
    # the Job runs before the release's own Secret is made
    migration = holders["fluxgate-admin-migration"]["metadata"]["annotations"]
    assert migration["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "hook-succeeded" in migration["helm.sh/hook-delete-policy"]
    named = dict(pod_templates(made))
    for pod, secret in (
        ("Deployment fluxgate-admin", "fluxgate-admin-database"),
        ("Job fluxgate-admin-migration", "fluxgate-admin-migration"),
    ):
        (container,) = named[pod]["spec"]["containers"]
        variables = {each["name"]: each for each in container["env"]}
        source = variables["FLUXGATE_ADMIN_DATABASE"]["valueFrom"]["secretKeyRef"]
        assert source == {"name": secret, "key": "url"}
    assert named["Job fluxgate-admin-migration"]["spec"]["containers"][0]["args"] == [
        "admin",
        "migrate",
    ]


def _plain(manifest: Manifest) -> str:
    """With what a Secret holds in plain text."""
    data = manifest.get("data", {}) if manifest["kind"] == "Secret" else {}
    return str(manifest) + "".join(
        b64decode(each).decode(errors="replace") for each in data.values()
    )


def test_a_sqlite_file_has_one_process_and_no_job(helm: Helm) -> None:
    made = helm.template({"admin": {"enabled": True}})
    named = dict(pod_templates(made))
    assert not [name for name in named if "migration" in name]
    (deployment,) = [each for each in made if each["metadata"]["name"] == "fluxgate-admin"
                     and each["kind"] == "Deployment"]  # fmt: skip
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (
        1,
        {"type": "Recreate"},
    )
    kept = {
        (each["kind"], each["metadata"]["name"])
        for each in made
        if (each["metadata"].get("annotations") or {}).get("helm.sh/resource-policy") == "keep"
    }
    assert kept == {
        ("Secret", "fluxgate-admin-master-keys"),
        ("PersistentVolumeClaim", "fluxgate-admin-data"),
    }


def test_a_master_key_is_made_that_the_api_can_seal_with(helm: Helm) -> None:
    def key() -> bytes:
        made = helm.template({"admin": {"enabled": True}})
        (secret,) = [
            each for each in made if each["kind"] == "Secret" and "keys" in each.get("data", {})
        ]
        return b64decode(secret["data"]["keys"])

    one, other = key(), key()
    assert one != other
    box = SecretBox((SecretBytes(one),))
    sealed = box.seal(SecretBytes(b"secret"), "a test")
    assert box.unseal(sealed, "a test").reveal() == b"secret"


def test_openshift_is_not_asked_for_a_group(helm: Helm) -> None:
    def security(apis: str) -> object:
        pods = dict(pod_templates(helm.template({"admin": {"enabled": True}}, apis=apis)))
        return pods["Deployment fluxgate-admin"]["spec"]["securityContext"].get("fsGroup")

    assert (security(""), security("route.openshift.io/v1")) == (65532, None)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"admin": {"replicas": 2}}, "at '/admin/replicas': value must be 1"),
        ({"admin": {"database": {"url": "sqlite:///a.db"}}}, "at '/admin/database/url'"),
        ({"admin": {"masterKey": "abc"}}, "additional properties 'masterKey' not allowed"),
        ({"rateLimit": {"redis": {"url": "redis://a"}}}, "at '/rateLimit/redis/url'"),
        ({"gatway": {}}, "additional properties 'gatway' not allowed"),
        ({"controller": {"replica": 3}}, "at '/controller'"),
        ({"gateway": {"kind": "StatefulSet"}}, "must be one of 'Deployment', 'DaemonSet'"),
        ({"gateway": {"config": {"listeners": []}}}, "minItems: got 0, want 1"),
        (
            {"gateway": {"config": {"listeners": [{"name": "http", "port": 80}]}}},
            "minimum: got 80, want 1,024",
        ),
        ({"image": {"digest": "latest"}}, "at '/image/digest'"),
        ({"certificates": {"certManager": {"enabled": True}}}, "missing property 'name'"),
        ({"routes": {"a": {"matches": []}}}, "missing property 'spec'"),
        ({"controller": {"watchNamespaces": "shop"}}, "got string, want array"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_a_typo_in_the_values_is_refused_with_its_place(
    helm: Helm, values: dict[str, object], words: str
) -> None:
    with pytest.raises(HelmError, match="values don't meet the specifications") as refused:
        helm.template(values)
    assert words in str(refused.value)


def test_every_value_is_documented_and_in_the_schema() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    undocumented = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if line[:1].isalpha() and not before.startswith("#")
    ]
    assert undocumented == []


def test_envoys_identity_files_are_those_that_envoy_is_told_of() -> None:
    files = {path.name: path.read_text() for path in (CHART / "files" / "identity").iterdir()}
    assert {name: json.loads(text) for name, text in files.items()} == {
        name: json.loads(text) for name, text in secret_files().items()
    }
