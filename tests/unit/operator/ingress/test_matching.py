"""Which Service a request goes to, by the tables of the Kubernetes documentation.

kubernetes.io, Concepts, Services, Ingress: "Examples" of path types, "Multiple matches", and
"Hostname wildcards".
"""

from __future__ import annotations

import pytest
from support.ingresses import Shop, default, ingress, path, rule

YES, NO = "web", ""


def shop_with(*documents: dict[str, object]) -> Shop:
    """A shop with these Ingresses and the Services ``web``, ``first`` and ``second``."""
    shop = Shop()
    for name in ("web", "first", "second", "fallback"):
        shop.service(name)
    shop.put(*documents)
    return shop


@pytest.mark.parametrize(
    ("type_", "pattern", "request_path", "expected"),
    [
        ("Prefix", "/", "/any/path", YES),
        ("Exact", "/foo", "/foo", YES),
        ("Exact", "/foo", "/bar", NO),
        ("Exact", "/foo", "/foo/", NO),
        ("Exact", "/foo/", "/foo", NO),
        ("Prefix", "/foo", "/foo", YES),
        ("Prefix", "/foo", "/foo/", YES),
        ("Prefix", "/foo/", "/foo", YES),
        ("Prefix", "/foo/", "/foo/", YES),
        ("Prefix", "/aaa/bb", "/aaa/bbb", NO),
        ("Prefix", "/aaa/bbb", "/aaa/bbb", YES),
        ("Prefix", "/aaa/bbb/", "/aaa/bbb", YES),
        ("Prefix", "/aaa/bbb", "/aaa/bbb/", YES),
        ("Prefix", "/aaa/bbb", "/aaa/bbb/ccc", YES),
        ("Prefix", "/aaa/bbb", "/aaa/bbbxyz", NO),
        # ours to say: as Prefix
        ("ImplementationSpecific", "/foo", "/foo/bar", YES),
        ("ImplementationSpecific", "/foo", "/foobar", NO),
    ],
)
def test_one_path(type_: str, pattern: str, request_path: str, expected: str) -> None:
    shop = shop_with(ingress("a", rule("", path(pattern, "web", type_))))
    assert shop.answers(f"any.example.com{request_path}") == expected


@pytest.mark.parametrize(
    ("patterns", "request_path", "expected"),
    [
        ([("Prefix", "/", "first"), ("Prefix", "/aaa", "second")], "/aaa/ccc", "second"),
        ([("Prefix", "/aaa", "second"), ("Prefix", "/", "first")], "/aaa/ccc", "second"),
        ([("Prefix", "/aaa", "second"), ("Prefix", "/", "first")], "/ccc", "first"),
        ([("Prefix", "/foo", "second"), ("Exact", "/foo", "first")], "/foo", "first"),
        ([("Prefix", "/foo", "second"), ("Exact", "/foo", "first")], "/foo/", "second"),
        ([("Prefix", "/aaa", "first"), ("Prefix", "/aaa/bbb", "second")], "/aaa/bbb/c", "second"),
    ],
)
def test_the_longest_path_wins_and_exact_before_prefix(
    patterns: list[tuple[str, str, str]], request_path: str, expected: str
) -> None:
    paths = [path(value, service, type_) for type_, value, service in patterns]
    shop = shop_with(ingress("a", rule("", *paths)))
    assert shop.answers(f"any.example.com{request_path}") == expected


def test_none_of_the_prefixes_matches_goes_to_the_default_backend() -> None:
    shop = shop_with(
        ingress("a", rule("", path("/foo", "web")), defaultBackend=default("fallback"))
    )
    assert shop.answers("any.example.com/ccc") == "fallback"
    assert shop.answers("any.example.com/foo") == "web"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("bar.foo.com", YES),
        ("BAR.foo.com", YES),
        ("bar.foo.com:8080", YES),
        ("baz.bar.foo.com", NO),
        ("foo.com", NO),
    ],
)
def test_a_wildcard_covers_one_label(host: str, expected: str) -> None:
    shop = shop_with(ingress("a", rule("*.foo.com", path("/", "web"))))
    assert shop.answers(f"{host}/") == expected


def test_an_exact_host_comes_before_a_wildcard_and_that_before_all_hosts() -> None:
    shop = shop_with(
        ingress(
            "a",
            rule("", path("/", "fallback")),
            rule("*.foo.com", path("/", "second")),
            rule("bar.foo.com", path("/", "first")),
        )
    )
    assert shop.answers("bar.foo.com/") == "first"
    assert shop.answers("baz.foo.com/") == "second"
    assert shop.answers("a.baz.foo.com/") == "fallback"
    assert shop.answers("foo.com/") == "fallback"


def test_a_host_whose_paths_do_not_match_is_not_taken_by_rules_for_other_hosts() -> None:
    shop = shop_with(
        ingress("a", rule("bar.foo.com", path("/a", "first"))),
        ingress("b", rule("*.foo.com", path("/b", "second"))),
    )
    assert shop.answers("bar.foo.com/a") == "first"
    assert shop.answers("baz.foo.com/a") == NO


def test_a_default_backend_never_takes_what_a_rule_of_any_ingress_takes() -> None:
    shop = shop_with(
        ingress(
            "a", rule("a.example.com", path("/x", "first")), defaultBackend=default("fallback")
        ),
        ingress("b", rule("", path("/y", "second")), created="2026-02-01T00:00:00Z"),
    )
    assert shop.answers("a.example.com/x") == "first"
    assert shop.answers("a.example.com/y") == "second"
    assert shop.answers("a.example.com/z") == "fallback"
    assert shop.answers("other.example.com/z") == "fallback"


def test_an_ingress_with_a_default_backend_alone_takes_everything() -> None:
    shop = shop_with(ingress("a", defaultBackend=default("fallback")))
    assert shop.answers("any.example.com/any") == "fallback"


def test_many_hosts_of_a_default_backend_are_all_served() -> None:
    rules = [rule(f"h{number}.example.com", path("/x", "web")) for number in range(200)]
    shop = shop_with(ingress("a", *rules, defaultBackend=default("fallback")))
    assert shop.answers("h199.example.com/") == "fallback"
