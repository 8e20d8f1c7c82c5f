"""Logins that come, change and go while the real Envoy runs under the real xDS server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from feature.xds_server.background import BackgroundXds
from feature.xds_server.envoy_config import bootstrap
from support.browser import browser
from support.certificates import Authority
from support.documents import Document, gateway, obj, route, secret, tls_secret, translated
from support.envoy import EnvoyProcess, eventually
from support.openid import Client, OpenIdProvider
from support.upstream import EchoUpstream

from fluxgate.snapshot import Snapshot
from fluxgate.xds.build import build_snapshot

pytestmark = pytest.mark.envoy

APP, LOGIN = "app.example.com", "login.example.com"
PAGE = f"https://{APP}/app/page"
LISTENERS = "listener_manager.listener_(added|modified|removed|in_place_updated)"


class World:
    """The parts, and what is published of them."""

    def __init__(
        self, xds: BackgroundXds, provider: OpenIdProvider, authority: Authority, echo: EchoUpstream
    ) -> None:
        self.xds, self.provider, self._authority, self._echo = xds, provider, authority, echo
        listener = {
            "name": "http",
            "port": 443,
            "address": "127.0.0.1",
            "protocol": "HTTPS",
            "tls": {"certificateRefs": [{"name": "web"}]},
        }
        tls = {"serverName": LOGIN, "caCertificateRef": {"name": "ca"}}
        self._base = (
            gateway(listeners=[listener]),
            tls_secret("web", authority.issue(APP)),
            secret("ca", {"ca.crt": authority.pem}),
            obj("Backend", "provider", {"url": f"https://127.0.0.1:{provider.port}", "tls": tls}),
        )

    def snapshot(self, *documents: Document) -> Snapshot:
        (served,) = translated(*self._base, *documents).gateways.values()
        free = tuple(replace(each, port=0) for each in served.listeners)
        return build_snapshot(replace(served, listeners=free))

    def login(self, client_secret: str = "s3cret") -> tuple[Document, ...]:
        config = {
            **self.provider.endpoints(),
            "backend": {"name": "provider"},
            "clientId": "site",
            "clientSecretRef": {"name": "login"},
            "callbackPath": "/app/callback",
            "logoutPath": "/app/logout",
        }
        return (
            secret("login", {"client-secret": client_secret}),
            route("app", self._echo.port, {"oidc": config}),
        )

    def open(self) -> Document:
        return route("app", self._echo.port)

    def user(self, envoy: EnvoyProcess) -> httpx.Client:
        ports = {APP: envoy.port("http"), LOGIN: self.provider.port}
        return browser(self._authority.pem, ports)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    authority = Authority()
    client = Client("site", "s3cret", (f"https://{APP}/app/callback",), "client_secret_basic")
    with (
        BackgroundXds() as xds,
        EchoUpstream() as echo,
        OpenIdProvider(LOGIN, authority.issue(LOGIN), tmp_path, client) as provider,
    ):
        yield World(xds, provider, authority, echo)


def eventually_page(user: httpx.Client, holds: Callable[[httpx.Response], object]) -> None:
    eventually(lambda: holds(user.get(PAGE)), what="the page")


def test_a_login_comes_changes_its_secret_and_goes_without_touching_a_listener(
    world: World,
) -> None:
    world.xds.publish(world.snapshot(world.open()))
    with EnvoyProcess(bootstrap(world.xds.port, "DELTA_GRPC")) as envoy, world.user(envoy) as user:
        assert user.get(PAGE).history == []
        before = envoy.stats(LISTENERS)

        world.xds.publish(world.snapshot(*world.login()))
        eventually_page(user, lambda answer: answer.history)
        assert user.get(PAGE).status_code == 200

        world.provider.state.client.secret = "another"
        world.xds.publish(world.snapshot(*world.login("another")))

        def logged_in_anew() -> bool:
            user.cookies.clear()
            return user.get(PAGE).status_code == 200

        eventually(logged_in_anew, what="a login with the new secret")

        world.xds.publish(world.snapshot(world.open()))
        user.cookies.clear()
        eventually_page(user, lambda answer: not answer.history)
        assert envoy.stats(LISTENERS) == before


def test_a_login_is_closed_until_its_secrets_have_come(world: World) -> None:
    """Without them cookies would be signed with nothing."""
    world.xds.publish(world.snapshot(world.open()))
    whole = world.snapshot(*world.login())
    without = Snapshot.of(
        each
        for named in whole.resources.values()
        for each in named.values()
        if not each.name.startswith("oidc/")
    )
    with EnvoyProcess(bootstrap(world.xds.port, "DELTA_GRPC")) as envoy, world.user(envoy) as user:
        assert user.get(PAGE).history == []
        world.xds.publish(without)
        eventually(
            lambda: "oidc/" in envoy.admin("/config_dump?resource=dynamic_warming_secrets"),
            what="the question for the secrets",
        )

        def closed() -> bool:
            answer = user.get(PAGE, follow_redirects=False)
            assert answer.status_code in (200, 503), "open as before, and then closed"
            assert "set-cookie" not in answer.headers
            return answer.status_code == 503

        eventually(closed, what="the closed page")
        world.xds.publish(whole)
        eventually_page(user, lambda answer: answer.history and answer.status_code == 200)
