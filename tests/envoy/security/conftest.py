"""One gateway for the whole suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.security import World, security_world
from support.tokens import Issuer


@pytest.fixture(scope="session")
def rsa_issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="session")
def ec_issuer() -> Issuer:
    return Issuer("https://ec.example.com", "ES256", "ec")


@pytest.fixture(scope="package")
def running(rsa_issuer: Issuer, ec_issuer: Issuer) -> Iterator[World]:
    with security_world(rsa_issuer, ec_issuer) as running:
        yield running


@pytest.fixture
def world(running: World) -> World:
    """The gateway, whose upstreams have seen nothing yet."""
    running.clear()
    return running
