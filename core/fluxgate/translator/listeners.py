"""The listeners of one GatewayConfig: their certificates, and who has which server name.

A listener that cannot be served is left out. While others of its address and port can, it stays
closed instead: what asks for its names must not come to a listener with weaker checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from fluxgate.api.v1alpha1 import GatewayConfig
from fluxgate.api.v1alpha1.listener import ClientValidation, Listener, ListenerTLS
from fluxgate.ir import HttpsRedirectIR, ListenerIR, ListenerTLSIR
from fluxgate.resources import ServerCertificates, ref_of
from fluxgate.status import Reason
from fluxgate.translator.certificate_files import authority_files, server_files
from fluxgate.translator.certificates import (
    SecretLookup,
    resolve_ca,
    resolve_certificate,
    resolve_files,
    warning_of,
)
from fluxgate.translator.findings import Finding, invalid, partly
from fluxgate.translator.result import gateway_key
from fluxgate.translator.server_certificates import server_names

_ANY = "*"
_Address = tuple[str, int]


@dataclass(slots=True)
class Listeners:
    """Built in order: of two listeners of one address that list a name the first has it."""

    config: GatewayConfig
    lookup: SecretLookup
    added: tuple[ServerCertificates, ...]
    """Certificates that others bring, for the first HTTPS listener of every address."""
    findings: list[Finding] = field(default_factory=list)
    _names: dict[tuple[_Address, str], str] = field(default_factory=dict)
    _left_out: bool = False

    def build(self) -> tuple[ListenerIR, ...]:
        """Those that can be served; :attr:`findings` says why others cannot."""
        built = [
            made
            for index, each in enumerate(self.config.spec.listeners)
            if (made := self._listener(each, f"spec.listeners[{index}]")) is not None
        ]
        open_at = {(each.address, each.port) for each in built if not each.closed}
        if not open_at:
            self.findings.append(invalid("spec.listeners: none of the listeners can be served"))
        elif self._left_out:
            self.findings.append(partly("spec.listeners: some listeners are left out"))
        # a closed one guards its names against others of the port; alone it guards nothing
        kept = [each for each in built if (each.address, each.port) in open_at]
        return tuple(self._agree_on_http3(kept))

    def _agree_on_http3(self, built: list[ListenerIR]) -> Iterator[ListenerIR]:
        """All listeners of an address serve HTTP/3 or none: names of one must not come to another."""
        without = {(each.address, each.port) for each in built if not each.http3}
        for each in built:
            at = (each.address, each.port)
            if each.http3 and at in without:
                why = "another listener of the same address and port serves none"
                self.findings.append(partly(f"spec.listeners: {each.name}: no HTTP/3, since {why}"))
            yield replace(each, http3=each.http3 and at not in without)

    def _listener(self, listener: Listener, path: str) -> ListenerIR | None:
        names = self._claim(listener, path)
        if not names:
            self._left_out = True
            return None
        complete = len(names) == len(_names_of(listener))
        tls = None
        if listener.tls is not None and complete:
            tls = self._tls(listener, listener.tls, f"{path}.tls")
        closed = listener.tls is not None and tls is None
        self._left_out |= closed
        return ListenerIR(
            name=listener.name,
            address=listener.address,
            port=listener.port,
            route_table=gateway_key(ref_of(self.config)),
            server_names=() if _ANY in names else names,
            tls=tls,
            redirect=_redirect(listener),
            http3=listener.http3 and not closed,
            alt_svc_port=self._alt_svc_port(listener) if listener.http3 else 0,
            closed=closed,
        )

    def _claim(self, listener: Listener, path: str) -> tuple[str, ...]:
        """Take the names of a listener, and tell of those that another of its address has."""
        at, free = (listener.address, listener.port), []
        for name in _names_of(listener):
            holder = self._names.setdefault((at, name), listener.name)
            if holder == listener.name:
                free.append(name)
                continue
            what = "every other server name" if name == _ANY else name
            message = f"{what} goes to the listener {holder}, of the same address and port"
            self.findings.append(partly(f"{path}.hostnames: {message}", Reason.CONFLICTED))
        return tuple(free)

    def _tls(self, listener: Listener, tls: ListenerTLS, path: str) -> ListenerTLSIR | None:
        """A certificate that cannot be used is left out alone, while there is another."""
        certificates = self._good(self._certificates(tls, path))
        client_ca = ""
        if tls.client_validation is not None:
            found = self._client_ca(tls.client_validation, f"{path}.clientValidation")
            if isinstance(found, Finding):
                # without its client CA a listener would let everyone in: closed
                self.findings.append(found)
                return None
            client_ca = found
        if not certificates:
            return None
        self._warn((*certificates, client_ca), path)
        validation = tls.client_validation
        return ListenerTLSIR(
            certificates,
            tls.min_version,
            client_ca,
            client_certificate_optional=validation is not None and validation.optional,
            by_name=server_names(self._taken(listener), self._added(listener), self.lookup),
            max_version=tls.max_version,
            cipher_suites=tls.cipher_suites,
            curves=tls.curves,
            alpn=tls.alpn,
            forward=validation.forward if validation is not None else (),
        )

    def _certificates(self, tls: ListenerTLS, path: str) -> Iterator[str | Finding]:
        namespace = self.config.metadata.namespace
        for index, each in enumerate(tls.certificate_refs):
            where = f"{path}.certificateRefs[{index}]"
            yield resolve_certificate(where, each, namespace, self.lookup)
        for index, files in enumerate(tls.certificate_files):
            where = f"{path}.certificateFiles[{index}]"
            yield resolve_files(where, server_files(files, namespace), self.lookup)

    def _client_ca(self, validation: ClientValidation, path: str) -> str | Finding:
        namespace = self.config.metadata.namespace
        if validation.ca_certificate_ref is not None:
            where = f"{path}.caCertificateRef"
            return resolve_ca(where, validation.ca_certificate_ref, namespace, self.lookup)
        files = authority_files(validation, namespace)
        return resolve_files(f"{path}.caCertificateFile", files, self.lookup)

    def _good(self, resolved: Iterator[str | Finding]) -> tuple[str, ...]:
        names: dict[str, None] = {}
        for each in resolved:
            if isinstance(each, Finding):
                self.findings.append(each)
            else:
                names[each] = None
        return tuple(names)

    def _warn(self, certificates: tuple[str, ...], path: str) -> None:
        for name in filter(None, certificates):
            if warning := warning_of(name, self.lookup):
                self.findings.append(partly(f"{path}: {warning}"))

    def _sharing(self, listener: Listener) -> list[Listener]:
        """All listeners of one address and port, in order."""
        return [
            each
            for each in self.config.spec.listeners
            if (each.address, each.port) == (listener.address, listener.port)
        ]

    def _taken(self, listener: Listener) -> list[str]:
        return [name for each in self._sharing(listener) for name in each.hostnames]

    def _added(self, listener: Listener) -> tuple[ServerCertificates, ...]:
        return self.added if self._sharing(listener)[0] is listener else ()

    def _alt_svc_port(self, listener: Listener) -> int:
        exposed = (
            each.port for each in self.config.spec.exposure.ports if each.listener == listener.name
        )
        return listener.http3_port or next(exposed, None) or listener.port


def _names_of(listener: Listener) -> tuple[str, ...]:
    if _ANY in listener.hostnames or not listener.hostnames:
        return (_ANY,)
    return tuple(dict.fromkeys(listener.hostnames))


def _redirect(listener: Listener) -> HttpsRedirectIR | None:
    wanted = listener.redirect_to_https
    if wanted is None:
        return None
    return HttpsRedirectIR(wanted.port, wanted.status, wanted.except_paths)
