"""One gateway for the whole security suite: what is protected, what is open, and both upstreams."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from support.documents import Document, Documents, gateway, obj, route
from support.tokens import Issuer
from support.upstream import EchoUpstream

KEY = "flc_service_4BnJq0xYt7bGmZpLk2VwRs9HcDfE1aXyZ012"


class World:
    """The real Envoy, its issuers, and what reached the upstreams."""

    def __init__(self, served: Documents, private: EchoUpstream, public: EchoUpstream) -> None:
        self.served, self.private, self.public = served, private, public
        self.port = served.port
        self.get = served.get
        self.key = KEY

    def seen(self) -> list[str]:
        """The paths that reached any upstream."""
        return [each.path for each in (*self.private.requests, *self.public.requests)]

    def clear(self) -> None:
        """Forget what reached the upstreams."""
        self.private.clear()
        self.public.clear()


@contextmanager
def security_world(rsa_issuer: Issuer, ec_issuer: Issuer) -> Iterator[World]:
    """The gateway of the suite, running."""
    with (
        EchoUpstream("private") as private,
        EchoUpstream("public") as public,
        Documents(*_documents(private.port, public.port, rsa_issuer, ec_issuer)) as served,
    ):
        yield World(served, private, public)


def _documents(
    private: int, public: int, rsa_issuer: Issuer, ec_issuer: Issuer
) -> tuple[Document, ...]:
    claims = {"tenant": "tenant", "role": "role", "workspace": "workspace"}
    providers = [
        rsa_issuer.provider(claims=claims, clockSkew="1s"),
        ec_issuer.provider("ec", claims=claims, clockSkew="1s"),
    ]
    tokens = {"jwt-auth": {"providers": providers}}
    both = {"credentials": ["ApiKey", "JWT"]}
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    key = {"hash": digest, "prefix": "flc_service_", "lastFour": KEY[-4:], "tenant": "acme"}

    def rewriting(name: str, rewrite: dict[str, str]) -> Document:
        return route(name, public, rewrite={"path": rewrite})

    return (
        gateway(limits={"clientHeaderTimeout": "500ms", "idleTimeout": "500ms"}),
        obj("Tenant", "acme", {}),
        obj("ApiKey", "key", key),
        route("private", private, tokens, auth=both),
        route("tokens", private, tokens),
        route("keys", private, auth={}),
        route("optional", public, tokens, auth={**both, "mode": "Optional"}),
        route("realtime", private, auth={}, realtime=True),
        rewriting("prefix", {"type": "ReplacePrefix", "value": "/"}),
        rewriting("deeper", {"type": "ReplacePrefix", "value": "/static/files"}),
        rewriting("regex", {"type": "Regex", "pattern": "^/regex/(.*)$", "value": "/static/\\1"}),
        route("open", public, path="/"),
    )
