"""Host patterns."""

from __future__ import annotations

import pytest

from fluxgate.routing.hosts import covers, normalise_host, specificity


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        ("*", "a.example.com"),
        ("a.example.com", "a.example.com"),
        ("*.example.com", "a.example.com"),
        ("*.example.com", "a.b.example.com"),
        ("*", "*.example.com"),
        ("*.example.com", "*.a.example.com"),
    ],
)
def test_a_pattern_covers(pattern: str, host: str) -> None:
    assert covers(pattern, host)


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        ("*.example.com", "example.com"),
        ("*.example.com", ".example.com"),
        ("*.example.com", "anexample.com"),
        ("*.a.example.com", "*.example.com"),
        ("*.example.com", "*"),
        ("a.example.com", "b.example.com"),
    ],
)
def test_a_pattern_does_not_cover(pattern: str, host: str) -> None:
    assert not covers(pattern, host)


def test_exact_hosts_are_more_specific_than_long_wildcards_and_those_than_short_ones() -> None:
    hosts = ["*", "*.example.com", "a.com", "*.a.example.com"]
    ordered = ["a.com", "*.a.example.com", "*.example.com", "*"]
    assert sorted(hosts, key=specificity, reverse=True) == ordered


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("A.Example.COM:8080", "a.example.com"),
        ("a.example.com", "a.example.com"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("a.example.com:", "a.example.com:"),
    ],
)
def test_an_authority_loses_case_and_port(authority: str, host: str) -> None:
    assert normalise_host(authority) == host
