"""Where in a document a problem is, as JSON pointers."""

from __future__ import annotations

import pytest

from fluxgate_operator.trial.pointers import messages_of, pointer_in, pointer_of, quoted_in

DOCUMENT = {
    "metadata": {"labels": {"app.example.com/part": "x", "app": "y"}},
    "spec": {
        "matches": [{"path": {"type": "Regex", "value": "/(a|b)+"}}],
        "plugins": [{"type": "lua", "config": {"headers": {"set": {"x~a/b": "one"}}}}],
        "config": {"jwks": {"inline": "{}"}},
    },
}


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("", ""),
        ("spec", "/spec"),
        ("spec.matches[0].path.value", "/spec/matches/0/path/value"),
        ("metadata.labels.app.example.com/part", "/metadata/labels/app.example.com~1part"),
        ("metadata.labels.app", "/metadata/labels/app"),
        ("spec.plugins[0].config.headers.set.x~a/b", "/spec/plugins/0/config/headers/set/x~0a~1b"),
        (
            "spec.plugins[0].config.headers.set.x~a/b.[key]",
            "/spec/plugins/0/config/headers/set/x~0a~1b",
        ),
        ("spec.backends[2].url", "/spec/backends/2/url"),
        ("spec.matches[7].path", "/spec/matches/7/path"),
    ],
)
def test_a_path_leads_to_the_same_place_as_its_pointer(path: str, pointer: str) -> None:
    assert pointer_of(path, DOCUMENT) == pointer


@pytest.mark.parametrize(
    ("message", "pointer"),
    [
        ("spec.matches[0].path: is already claimed", "/spec/matches/0/path"),
        ("config.jwks.inline: keys[0]: needs alg", "/spec/config/jwks/inline"),
        ("config: has no effect", "/spec/config"),
        ("there is no GatewayConfig; create one", ""),
        ("Secret default/a: tls.key is not the key", ""),
    ],
)
def test_a_message_that_names_a_field_leads_to_it(message: str, pointer: str) -> None:
    assert pointer_in(message, DOCUMENT) == pointer


def test_messages_of_one_condition_are_told_apart_only_where_one_begins() -> None:
    text = "spec.a: is wrong; write b; spec.c[0]: is missing; config.d: too"

    assert messages_of(text) == [
        "spec.a: is wrong; write b",
        "spec.c[0]: is missing",
        "config.d: too",
    ]


def test_the_longest_value_that_envoy_quotes_is_the_place() -> None:
    words = "regex '/(a|b)+' RE2 program size of 1000 > max for lua"

    assert quoted_in(words, DOCUMENT) == "/spec/matches/0/path/value"


def test_words_that_quote_nothing_of_the_document_have_no_place() -> None:
    assert quoted_in("something else entirely", DOCUMENT) == ""
