"""Properties of the translator: the cache, the order of the input and mistakes change nothing they should not."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.certificates import Authority, Pair

from fluxgate.api.parse import parse_object
from fluxgate.errors import ResourceError
from fluxgate.resources import (
    Endpoint,
    ObjectRef,
    Resources,
    ResourceStore,
    Secret,
    ServiceEndpoints,
    ref_of,
)
from fluxgate.secret import SecretBytes
from fluxgate.translator import (
    SetAside,
    TranslateCache,
    TranslateOptions,
    spec_digest,
    translate,
)

NAMES = st.sampled_from(["a", "a", "b"])
NAMESPACES = st.sampled_from(["default", "default", "default", "team"])
TENANTS = st.none() | NAMES
HOSTS = st.sampled_from(["*", "*.example.com", "a.example.com", "b.example.com", "x.a.example.com"])
PATHS = st.sampled_from(
    [
        {"type": "Prefix", "value": "/"},
        {"type": "Prefix", "value": "/a"},
        {"type": "Exact", "value": "/a"},
        {"type": "Template", "value": "/a/{id}"},
        {"type": "Regex", "value": "/a.*"},
    ]
)
METHODS = st.lists(st.sampled_from(["GET", "HEAD", "POST", "OPTIONS"]), max_size=2, unique=True)
ORIGINS = st.lists(
    st.sampled_from(["*", "https://example.com"]), min_size=1, max_size=2, unique=True
)


def optional(**fields):
    return st.fixed_dictionaries({}, optional=fields)


CORS = optional(allowOrigins=ORIGINS)
AUTH = st.one_of(
    st.fixed_dictionaries({"mode": st.sampled_from(["None", "Optional"])}),
    st.fixed_dictionaries(
        {"mode": st.just("Required")},
        optional={
            "credentials": st.sampled_from([["ApiKey"], ["JWT"], ["ApiKey", "JWT"]]),
            "scopes": st.just(["orders:read"]),
        },
    ),
)
LIMIT = st.one_of(
    st.fixed_dictionaries({"plan": NAMES}), st.fixed_dictionaries({"requests": st.integers(1, 3)})
)
BACKEND_REF = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["Backend", "Upstream"]), "name": NAMES},
        optional={"weight": st.integers(0, 2)},
    ),
    st.fixed_dictionaries({"kind": st.just("Service"), "name": NAMES, "port": st.just(80)}),
    st.fixed_dictionaries(
        {"url": st.sampled_from(["http://127.0.0.1:1", "https://api.example.com"])}
    ),
)
BACKEND_REFS = st.lists(BACKEND_REF, min_size=1, max_size=2).filter(
    lambda refs: any(ref.get("weight", 1) for ref in refs)
)
BREAKER = st.fixed_dictionaries({"maxRequests": st.integers(1, 2)})
PLUGIN_USE = st.one_of(
    st.fixed_dictionaries({"name": NAMES}, optional={"enabled": st.booleans()}),
    st.fixed_dictionaries({"type": st.sampled_from(["cors", "key-auth", "unknown"])}),
)
MATCH = st.fixed_dictionaries(
    {"path": PATHS},
    optional={
        "methods": METHODS,
        "headers": st.just([{"name": "X-Version", "value": "1"}]),
        "credential": st.sampled_from(["ApiKey", "JWT", "None"]),
    },
)
SPECS = {
    "GatewayConfig": st.fixed_dictionaries(
        {
            "listeners": st.sampled_from(
                [
                    [{"name": "a", "port": 80}],
                    [{"name": "a", "port": 80}, {"name": "b", "port": 81}],
                    [
                        {
                            "name": "b",
                            "port": 443,
                            "protocol": "HTTPS",
                            "tls": {"certificateRefs": [{"name": "a"}]},
                        }
                    ],
                ]
            ),
            "plans": st.lists(
                st.fixed_dictionaries({"name": NAMES, "requests": st.integers(1, 2)}),
                max_size=2,
                unique_by=lambda plan: plan["name"],
            ),
        },
        optional={"cors": CORS},
    ),
    "Route": st.builds(
        lambda common, rare: common | rare,
        st.fixed_dictionaries(
            {
                "matches": st.lists(MATCH, min_size=1, max_size=2),
                "hosts": st.lists(HOSTS, max_size=2),
                "backends": BACKEND_REFS,
            },
            optional={
                "priority": st.integers(0, 1),
                "mirror": st.fixed_dictionaries({"backend": BACKEND_REF}),
                "circuitBreaker": BREAKER,
                "auth": AUTH,
                "cors": CORS,
                "realtime": st.booleans(),
            },
        ),
        st.one_of(
            st.just({}),
            st.just({}),
            st.fixed_dictionaries({"tenant": NAMES}),
            st.fixed_dictionaries({"rateLimit": LIMIT}),
            st.fixed_dictionaries({"plugins": st.lists(PLUGIN_USE, max_size=2)}),
            st.fixed_dictionaries({"listeners": st.lists(NAMES, max_size=1)}),
            st.sampled_from(
                [{"enabled": False}, {"async": {}}, {"backends": []}, {"gateways": ["b"]}]
            ),
        ),
    ),
    "Backend": st.one_of(
        st.fixed_dictionaries(
            {
                "url": st.sampled_from(
                    ["http://127.0.0.1:1", "http://127.0.0.2:1", "https://b.example.com"]
                )
            },
            optional={"tenant": NAMES, "circuitBreaker": BREAKER},
        ),
        st.fixed_dictionaries(
            {"upstream": NAMES},
            optional={
                "canary": st.fixed_dictionaries(
                    {
                        "kind": st.sampled_from(["Backend", "Upstream"]),
                        "name": NAMES,
                        "weight": st.sampled_from([0, 10, 100]),
                    }
                ),
                "timeouts": st.just({"request": "1s"}),
                "tls": st.just({"caCertificateRef": {"name": "a"}}),
            },
        ),
        st.fixed_dictionaries(
            {"service": st.fixed_dictionaries({"name": NAMES, "port": st.just(80)})}
        ),
    ),
    "Upstream": st.fixed_dictionaries(
        {
            "targets": st.lists(
                st.fixed_dictionaries(
                    {
                        "host": st.sampled_from(["127.0.0.1", "::1", "example.com"]),
                        "port": st.just(1),
                    },
                    optional={"weight": st.integers(0, 2)},
                ),
                max_size=2,
                unique_by=lambda target: target["host"],
            )
        },
        optional={"tenant": NAMES, "type": st.sampled_from(["Static", "Sidecar"])},
    ).filter(
        lambda spec: (
            spec.get("type") != "Sidecar"
            or all(each["host"] != "example.com" for each in spec["targets"])
        )
    ),
    "Plugin": st.fixed_dictionaries(
        {"type": st.sampled_from(["cors", "key-auth", "rate-limit", "unknown"])},
        optional={
            "config": st.sampled_from(
                [{}, {"plan": "a"}, {"requests": 1}, {"mode": "None"}, {"no": 1}]
            ),
            "enabled": st.booleans(),
            "tenant": NAMES,
            "targets": st.lists(
                st.fixed_dictionaries(
                    {
                        "kind": st.sampled_from(["GatewayConfig", "Tenant", "Backend", "Route"]),
                        "name": NAMES,
                    }
                ),
                max_size=2,
            ),
        },
    ),
    "ApiKey": st.fixed_dictionaries(
        {
            "hash": st.sampled_from(["0" * 64, "1" * 64]),
            "prefix": st.sampled_from(["flc_service_", "flc_anon_", "nope_"]),
            "lastFour": st.just("abcd"),
        },
        optional={"tenant": NAMES, "plan": NAMES, "revoked": st.booleans()},
    ),
    "Tenant": optional(
        hosts=st.lists(HOSTS, max_size=1),
        namespace=NAMESPACES,
        plan=NAMES,
        suspended=st.booleans(),
        corsOrigins=st.just(["https://example.com"]),
    ),
}

PAIRS = [Pair(b"", b""), *(Authority().issue(name) for name in ("a.example.com", "b.example.com"))]


@st.composite
def resources(draw):
    kind = draw(st.sampled_from([*SPECS, *["Route"] * 4, "Plugin", "Backend", "Secret", "Service"]))
    name, namespace = draw(NAMES), draw(NAMESPACES)
    if kind == "Secret":
        pair = draw(st.sampled_from(PAIRS))
        key = draw(st.sampled_from([pair.key, b""]))
        data = {"tls.crt": pair.certificate, "tls.key": key, "ca.crt": pair.certificate}
        data = {name: SecretBytes(value) for name, value in data.items()}
        return Secret(namespace, name, "kubernetes.io/tls", data)
    if kind == "Service":
        endpoints = draw(st.sampled_from([(), (Endpoint("10.0.0.1", 8080),)]))
        return ServiceEndpoints(namespace, name, {draw(st.sampled_from([80, 81])): endpoints})
    drawn = document(kind, name, draw(SPECS[kind]))
    created = draw(st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]))
    drawn["metadata"] |= {"namespace": namespace, "creationTimestamp": created}
    drawn["metadata"]["generation"] = draw(st.integers(1, 2))
    return parse_object(drawn)


def document(kind: str, name: str, spec: dict) -> dict:
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "creationTimestamp": "2025-01-01T00:00:00Z"},
        "spec": spec,
    }


START = tuple(
    parse_object(document(kind, "a", spec))
    for kind, spec in {
        "GatewayConfig": {
            "listeners": [{"name": "a", "port": 80}, {"name": "b", "port": 81}],
            "plans": [{"name": "a", "requests": 1}],
        },
        "Backend": {"upstream": "a"},
        "Upstream": {"targets": [{"host": "127.0.0.1", "port": 1}]},
        "Route": {"backends": [{"name": "a"}]},
    }.items()
)
"""A world that serves something, for edits to break."""

WORLD = st.lists(resources(), max_size=30).map(lambda drawn: [*START, *drawn])

SCRIPT = st.lists(
    st.one_of(
        st.tuples(st.just("put"), resources()),
        st.tuples(st.just("remove"), st.integers(0, 30)),
        st.tuples(st.just("reject"), st.integers(0, 30)),
    ),
    min_size=5,
    max_size=40,
)
THOROUGH = settings(
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def apply(store: ResourceStore, rejected: dict[ObjectRef, SetAside], edit) -> None:
    action, what = edit
    if action == "put":
        store.upsert(what)
        return
    if action == "reject" and what % 3:
        return  # more often and nothing would be served
    objects = sorted(store.freeze(), key=lambda item: item[0])
    if not objects:
        return
    ref, obj = objects[what % len(objects)]
    if action == "remove":
        store.remove(ref)
    elif ref.kind not in ("Secret", "Service"):
        rejected[ref] = SetAside(spec_digest(obj), "Envoy said no")


@THOROUGH
@given(SCRIPT, st.sets(st.integers(0, 30)))
def test_an_incremental_translation_equals_a_full_one_after_every_edit(script, skipped):
    store, cache, rejected = ResourceStore(), TranslateCache(), {}
    store.replace(START)
    translate(store.freeze(), cache=cache)
    for number, edit in enumerate(script):
        apply(store, rejected, edit)
        if number in skipped:
            continue
        options = TranslateOptions(dict(rejected))
        incremental = translate(store.freeze(), options, cache)
        full = translate(store.freeze(), options)
        assert incremental.gateways == full.gateways
        assert incremental.statuses == full.statuses


@THOROUGH
@given(WORLD, st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(objects, shuffle: random.Random):
    world = {ref_of(each): each for each in objects}
    shuffled = list(world.values())
    shuffle.shuffle(shuffled)
    one, other = (translate(bundle(each)) for each in (list(world.values()), shuffled))
    assert one.gateways == other.gateways
    assert one.statuses == other.statuses
    assert repr(one.gateways) == repr(other.gateways)


@THOROUGH
@given(WORLD)
def test_every_object_of_our_kinds_gets_a_status(objects):
    world = bundle(objects)
    expected = {ref for ref, _ in world if ref.kind not in ("Secret", "Service")}
    assert set(translate(world).statuses) == expected


@THOROUGH
@given(WORLD)
def test_every_cluster_and_certificate_that_is_referred_to_is_there(objects):
    for gateway in translate(bundle(objects)).gateways.values():
        clusters = {each.name for each in gateway.clusters}
        plans = {each.name for each in gateway.plans}
        assert len(plans) == len(gateway.plans)
        used = set()
        for table in gateway.route_tables:
            for virtual_host in table.virtual_hosts:
                for route in virtual_host.routes:
                    used |= {each.cluster for each in getattr(route.action, "destinations", ())}
                    mirrors = getattr(route.action, "mirrors", ())
                    used |= {each.cluster for each in mirrors}
                    assert not route.plan or route.plan in plans
        assert clusters == used
        assert {each.route_table for each in gateway.listeners} == {
            each.name for each in gateway.route_tables
        }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=20,
)
KEYS = st.sampled_from(
    [
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        "status",
        "name",
        "data",
        "stringData",
        "listeners",
        "matches",
    ]
)
KINDS = st.sampled_from([*SPECS, "Secret", "Pod"])


@settings(deadline=None, max_examples=300)
@given(
    st.dictionaries(KEYS | st.text(), JSON, max_size=6),
    KINDS,
    st.sampled_from(["gateway.fluxgate.io/v1alpha1", "v1", "apps/v1"]),
    st.booleans(),
    st.dictionaries(KEYS | st.text(), JSON, max_size=4),
)
def test_parsing_any_mapping_gives_an_object_or_a_resource_error(
    document, kind, version, typed, spec
):
    if typed:
        document |= {"kind": kind, "apiVersion": version, "metadata": {"name": "x"}, "spec": spec}
    parsed = parsed_or_refused(document)
    if isinstance(parsed, ResourceError):
        assert parsed.problems
    else:
        translate(bundle([parsed]))


def parsed_or_refused(document):
    try:
        return parse_object(document)
    except ResourceError as error:
        return error


def bundle(objects) -> Resources:
    store = ResourceStore()
    for each in objects:
        store.upsert(each)
    return store.freeze()
