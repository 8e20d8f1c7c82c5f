"""How an Envoy in a pod proves who it is: the token of its ServiceAccount.

The kubelet writes a bound token into a projected volume and replaces it long before it expires.
Envoy reads it through a file-based secret whose folder it watches, and the filter
``envoy.filters.http.credential_injector`` puts it into every request to the control plane; the
filter is part of the cluster, so that discovery streams pass it too. The authority that signed
the control plane's certificate is a watched file as well. See docs/decisions/0014.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

TOKEN_AUDIENCE = "fluxgate-xds"  # noqa: S105 - a name, not a secret
"""For whom the token is (TokenRequest ``spec.audiences``); the API server takes no such token."""

FOLDER = PurePosixPath("/var/run/fluxgate/xds")
TOKEN, AUTHORITY = "token", "ca.crt"
TOKEN_SECRET, AUTHORITY_SECRET = "token.json", "ca.json"

_TYPE = "type.googleapis.com/"
_TLS = _TYPE + "envoy.extensions.transport_sockets.tls.v3."


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """``folder`` holds the files above; ``server_name`` is in the control plane's certificate."""

    server_name: str
    folder: PurePosixPath = FOLDER


def secret_files(folder: PurePosixPath = FOLDER) -> dict[str, str]:
    """The two files, by name, that tell Envoy of the token and of the authority.

    Each is a DiscoveryResponse with one Secret: Envoy takes no more from a file.
    """
    watched = {"path": str(folder)}
    token = {"generic_secret": {"secret": {"filename": str(folder / TOKEN)}}}
    authority = {
        "validation_context": {
            "trusted_ca": {"filename": str(folder / AUTHORITY)},
            "watched_directory": watched,
        }
    }
    return {
        TOKEN_SECRET: _response(_name(TOKEN_SECRET), token),
        AUTHORITY_SECRET: _response(_name(AUTHORITY_SECRET), authority),
    }


def identify(cluster: dict[str, Any], identity: TokenIdentity) -> None:
    """Let ``cluster`` (in protobuf's JSON form) speak TLS and present the token."""
    cluster["transportSocket"] = _transport_socket(identity)
    protocol = next(iter(cluster["typedExtensionProtocolOptions"].values()))
    protocol["httpFilters"] = [_injector(identity), _codec()]


def _transport_socket(identity: TokenIdentity) -> dict[str, Any]:
    subject = {"sanType": "DNS", "matcher": {"exact": identity.server_name}}
    return {
        "name": "envoy.transport_sockets.tls",
        "typedConfig": {
            "@type": _TLS + "UpstreamTlsContext",
            "sni": identity.server_name,
            "commonTlsContext": {
                "alpnProtocols": ["h2"],
                "combinedValidationContext": {
                    "defaultValidationContext": {"matchTypedSubjectAltNames": [subject]},
                    "validationContextSdsSecretConfig": _sds(identity, AUTHORITY_SECRET),
                },
            },
        },
    }


def _injector(identity: TokenIdentity) -> dict[str, Any]:
    generic = {
        "@type": _TYPE + "envoy.extensions.http.injected_credentials.generic.v3.Generic",
        "header": "authorization",
        "headerValuePrefix": "Bearer ",
        "credential": _sds(identity, TOKEN_SECRET),
    }
    return {
        "name": "envoy.filters.http.credential_injector",
        "typedConfig": {
            "@type": _TYPE + "envoy.extensions.filters.http.credential_injector.v3"
            ".CredentialInjector",
            "overwrite": True,
            "credential": {
                "name": "envoy.http.injected_credentials.generic",
                "typedConfig": generic,
            },
        },
    }


def _codec() -> dict[str, Any]:
    """The last filter of an upstream chain has to be this one."""
    kind = "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"
    return {
        "name": "envoy.filters.http.upstream_codec",
        "typedConfig": {"@type": _TYPE + kind},
    }


def _sds(identity: TokenIdentity, file: str) -> dict[str, Any]:
    # the kubelet replaces a link in this folder: the move that Envoy watches for
    path = {
        "path": str(identity.folder / file),
        "watchedDirectory": {"path": str(identity.folder)},
    }
    return {
        "name": _name(file),
        "sdsConfig": {"pathConfigSource": path, "resourceApiVersion": "V3"},
    }


def _name(file: str) -> str:
    return f"fluxgate-xds-{file.removesuffix('.json')}"


def _response(name: str, secret: Mapping[str, Any]) -> str:
    resource = {"@type": _TLS + "Secret", "name": name, **secret}
    return json.dumps({"resources": [resource]}, sort_keys=True)
