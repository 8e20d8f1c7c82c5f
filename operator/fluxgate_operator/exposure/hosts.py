"""Which hosts a fleet serves, and by which listener a way in from outside reaches each."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from fluxgate.api.v1alpha1 import GatewayConfig
from fluxgate.api.v1alpha1.listener import Listener
from fluxgate.ir import Gateway
from fluxgate.routing.hosts import ANY, covers

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Way:
    """A host, and the listeners that serve it: without TLS, and with (either may be None)."""

    host: str
    plain: Listener | None
    secure: Listener | None


def served(config: GatewayConfig, gateway: Gateway) -> tuple[tuple[Way, ...], tuple[str, ...]]:
    """Every host that routes are declared for, and problems: those no name server could know.

    An IP address is reached by the Service, so it is no host of an Ingress or an OpenShift Route.
    """
    on = {name: frozenset(hosts) for name, hosts in offered(gateway)}
    ways, problems = [], []
    for host in sorted(frozenset().union(*on.values())):
        if not _is_dns_name(host):
            problems.append(f"the host {host} cannot be exposed by name")
            continue
        able = [each for each in config.spec.listeners if host in on.get(each.name, ())]
        ways.append(
            Way(
                host,
                next((each for each in able if each.tls is None), None),
                next((each for each in able if each.tls and _presents(each, host)), None),
            )
        )
    return tuple(ways), tuple(problems)


def offered(gateway: Gateway) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The hosts that have routes, by listener: all that an exposure looks at in a gateway."""
    tables = {table.name: table for table in gateway.route_tables}
    return tuple(
        (listener.name, tuple([host.host for host in tables[listener.route_table].virtual_hosts]))
        for listener in gateway.listeners
        if listener.route_table in tables
    )


def _presents(listener: Listener, host: str) -> bool:
    """Whether clients that ask for ``host`` get as far as this listener (SNI)."""
    return not listener.hostnames or any(covers(each, host) for each in listener.hostnames)


def _is_dns_name(host: str) -> bool:
    """RFC 1123, with at most one wildcard label in front."""
    if host == ANY:
        return True
    name = host.removeprefix("*.")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return len(name) <= 251 and all(_LABEL.fullmatch(each) for each in name.split("."))
    return False
