"""Certificates by server name: what others than the GatewayConfig add to its HTTPS listeners.

A name goes to one certificate only, since Envoy refuses a listener in which two filter chains
match the same one: to the listener itself if it lists the name, else to the oldest object.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from operator import attrgetter

from fluxgate.api.v1alpha1.policy import SecretRef
from fluxgate.ir import ServerNamesIR
from fluxgate.resources import ObjectRef, Resources, ServerCertificates
from fluxgate.translator.certificates import SecretLookup, resolve_certificate
from fluxgate.translator.findings import NEVER, Finding
from fluxgate.translator.tenants import TenantIndex, allowed_hosts


def certificates_for(resources: Resources, gateway: ObjectRef) -> tuple[ServerCertificates, ...]:
    """What is to be added to the listeners of ``gateway``, the oldest first."""
    mine = (each for each in resources.server_certificates.values() if each.gateway == gateway)
    return tuple(sorted(mine, key=lambda each: (each.created or NEVER, each.namespace, each.name)))


def permitted(
    added: Iterable[ServerCertificates], tenants: TenantIndex
) -> tuple[ServerCertificates, ...]:
    """``added`` with the hosts that the tenant of its namespace may have, as for a Route."""
    found = []
    for each in added:
        tenant = tenants.tenant_of(each.namespace, None)
        if isinstance(tenant, Finding):
            continue
        certificates = tuple(
            replace(one, hosts=allowed_hosts(one.hosts, tenant)[0]) for one in each.certificates
        )
        found.append(replace(each, certificates=certificates))
    return tuple(found)


def server_names(
    taken: Collection[str], added: Iterable[ServerCertificates], lookup: SecretLookup
) -> tuple[ServerNamesIR, ...]:
    """Every certificate with the names that are left for it; one that cannot be used has none.

    ``taken`` are the listener's own names. Who names a Secret that is not there is told
    elsewhere; its names fall to the listener's own certificate.
    """
    owners: dict[str, str] = dict.fromkeys(taken, "")
    for each in added:
        for certificate in each.certificates:
            secret = certificate.secret
            found = resolve_certificate("", SecretRef(name=secret.name), secret.namespace, lookup)
            if isinstance(found, str):
                for host in certificate.hosts:
                    owners.setdefault(host, found)
    by_certificate: dict[str, list[str]] = {}
    for host, owner in owners.items():
        if owner:
            by_certificate.setdefault(owner, []).append(host)
    made = (ServerNamesIR(name, tuple(sorted(hosts))) for name, hosts in by_certificate.items())
    return tuple(sorted(made, key=attrgetter("certificate")))
