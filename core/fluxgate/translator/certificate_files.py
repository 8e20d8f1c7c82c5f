"""Certificates on disk, as Secrets that nobody wrote.

A gateway without Kubernetes names files by path. Whoever reads them puts each group into the
store as a Secret with the keys a user's Secret would have, and from there on nothing differs: not
the checks, not SDS, not the rotation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fluxgate.api.v1alpha1 import GatewayConfig
from fluxgate.api.v1alpha1.listener import CertificateFile, ClientValidation, Listener
from fluxgate.resources import ObjectRef

PROBLEM = "problem"
"""The key under which such a Secret says which of its files could not be read, and why."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """One such Secret: its identity, and the path behind each key of its data."""

    ref: ObjectRef
    paths: tuple[tuple[str, str], ...]


def server_files(files: CertificateFile, namespace: str) -> CertificateFiles:
    """A certificate and its key."""
    return _files(namespace, ("tls.crt", files.certificate), ("tls.key", files.key))


def authority_files(validation: ClientValidation, namespace: str) -> CertificateFiles:
    """A CA bundle, and its revocation lists if there are any."""
    paths = (("ca.crt", validation.ca_certificate_file), ("ca.crl", validation.crl_file))
    return _files(namespace, *((key, path) for key, path in paths if path is not None))


def files_of(config: GatewayConfig) -> Iterator[CertificateFiles]:
    """Everything on disk that a GatewayConfig names."""
    for listener in config.spec.listeners:
        yield from _of_listener(listener, config.metadata.namespace)


def _of_listener(listener: Listener, namespace: str) -> Iterator[CertificateFiles]:
    if listener.tls is None:
        return
    for each in listener.tls.certificate_files:
        yield server_files(each, namespace)
    validation = listener.tls.client_validation
    if validation is not None and validation.ca_certificate_file is not None:
        yield authority_files(validation, namespace)


def _files(namespace: str, *paths: tuple[str, str]) -> CertificateFiles:
    # by the rule of ObjectRef.source it prints as its first file
    name = ":".join(("File", *(path for _, path in paths)))
    return CertificateFiles(ObjectRef("Secret", namespace, name), paths)
