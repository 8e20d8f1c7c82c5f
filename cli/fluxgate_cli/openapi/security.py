"""Who may call an operation: requirements of OpenAPI as ``auth`` of a Route and the plugins that verify."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fluxgate_cli.openapi.document import Json, OpenApi

EXTENSION = "x-fluxgate"
_DISCOVERY = "/.well-known/openid-configuration"
_JWKS = "/.well-known/jwks.json"
_ALGORITHMS = ("RS256", "ES256")
_KEY_HEADERS = ("apikey", "x-api-key")
_CLASSES = {"apiKey": "ApiKey", "openIdConnect": "JWT", "oauth2": "JWT", "mutualTLS": "MTLS"}
_HTTP = {"bearer": "JWT", "basic": "Basic"}
_PLUGIN_OF = {"JWT": "jwt-auth", "Basic": "basic-auth", "MTLS": "mtls-auth"}


@dataclass(frozen=True, slots=True)
class Scheme:
    """One security scheme: the class of its credentials, and the policy that verifies them.

    ``policy`` is a type and its config; None for API keys, which need none. ``trouble`` says why it cannot be used.
    """

    name: str
    credential: str
    policy: tuple[str, Mapping[str, Any]] | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Guard:
    """Who may call: the ``auth`` of a Route, and the schemes whose policies it needs.

    ``trouble`` says what cannot be expressed: such a Route must not be served as it is.
    """

    auth: Mapping[str, Any]
    schemes: tuple[Scheme, ...] = ()
    trouble: str = ""


def read_schemes(api: OpenApi, issuer: str | None) -> dict[str, Scheme]:
    """The security schemes of a document; ``issuer`` is that of tokens whose scheme names none."""
    components = api.root.get("components")
    named = components.get("securitySchemes") if isinstance(components, Mapping) else None
    found = {}
    for name, node in (named or {}).items():
        place = f"/components/securitySchemes/{name}"
        found[name] = _scheme(api, name, api.resolve(node, place), place, issuer)
    return found


def guard_of(api: OpenApi, security: object, schemes: Mapping[str, Scheme], place: str) -> Guard:
    """The guard for a list of requirements, of which one has to hold."""
    requirements = security if isinstance(security, Sequence) else []
    named = [each for each in requirements if isinstance(each, Mapping)]
    if not any(named):
        return Guard({"mode": "None"})
    required = [each for each in named if each]
    trouble = "; ".join(dict.fromkeys(_troubles(required, schemes)))
    names = dict.fromkeys(name for each in required for name in each if name in schemes)
    used = tuple(schemes[name] for name in names)
    auth: dict[str, Any] = {"mode": "Optional" if len(required) < len(named) else "Required"}
    auth["credentials"] = list(dict.fromkeys(each.credential for each in used if each.credential))
    scopes = sorted(
        {scope for each in required for found in each.values() for scope in found or ()}
    )
    if scopes and auth["mode"] == "Required":
        auth["scopes"] = scopes
    elif scopes:
        api.note(place, "is optional, so its scopes are not asked for")
    if trouble:
        api.note(place, f"{trouble}; the route is switched off")
    return Guard(auth, used, trouble)


def _troubles(required: Sequence[Json], schemes: Mapping[str, Scheme]) -> Iterator[str]:
    for each in required:
        if len(each) > 1:
            yield f"asks for {' and '.join(sorted(each))} together; a route takes one of several"
        for name in each:
            scheme = schemes.get(name)
            if scheme is None:
                yield f"names the security scheme {name!r}, which is not there"
            elif scheme.trouble:
                yield f"{name}: {scheme.trouble}"
    if len({tuple(sorted(found or ())) for each in required for found in each.values()}) > 1:
        yield "asks for other scopes by each scheme; a route asks for the same ones"


def _scheme(api: OpenApi, name: str, node: Json, place: str, issuer: str | None) -> Scheme:
    kind = str(node.get("type") or "")
    word = str(node.get("scheme") or "").lower()
    credential = _HTTP.get(word, "") if kind == "http" else _CLASSES.get(kind, "")
    if not credential:
        return Scheme(name, "", trouble=f"has type {kind} {word}".rstrip() + ", which there is not")
    extension = node.get(EXTENSION)
    if isinstance(extension, Mapping) and extension.get("type"):
        policy = (str(extension["type"]), dict(extension.get("config") or {}))
        return Scheme(name, credential, policy)
    if credential == "ApiKey":
        return _api_key(api, name, node, place)
    if credential == "JWT":
        return _tokens(api, name, node, place, issuer)
    plugin = _PLUGIN_OF[credential]
    return Scheme(
        name,
        credential,
        trouble=f"needs the config of {plugin}: give it in {EXTENSION} of the scheme",
    )


def _api_key(api: OpenApi, name: str, node: Json, place: str) -> Scheme:
    where, field = str(node.get("in") or ""), str(node.get("name") or "")
    known = (where == "header" and field.lower() in _KEY_HEADERS) or (
        where == "query" and field == "apikey"
    )
    if not known:
        api.note(
            place,
            f"keys are read from the headers {' and '.join(_KEY_HEADERS)} and the query parameter apikey, "
            f"not from the {where} {field!r}: clients have to send them there",
        )
    return Scheme(name, "ApiKey")


def _tokens(api: OpenApi, name: str, node: Json, place: str, issuer: str | None) -> Scheme:
    discovery = str(node.get("openIdConnectUrl") or "")
    found = discovery.removesuffix(_DISCOVERY) if discovery.endswith(_DISCOVERY) else issuer
    if not found:
        return Scheme(
            name,
            "JWT",
            trouble=f"says no issuer: give jwt-auth's config in {EXTENSION} of the scheme, or --jwt-issuer",
        )
    url = found.rstrip("/") + _JWKS
    api.note(
        place,
        f"the keys of {found} are taken to be at {url}; mend that if they are not",
        lost=False,
    )
    provider = {
        "name": "main",
        "issuer": found,
        "algorithms": list(_ALGORITHMS),
        "jwks": {"remote": {"url": url}},
    }
    return Scheme(name, "JWT", ("jwt-auth", {"providers": [provider]}))
