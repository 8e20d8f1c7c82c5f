"""Policies as bodies name them, and as the kinds do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fluxgate.resources import ObjectRef
from fluxgate.translator.plugins import POLICY_TYPES
from fluxgate.translator.policies import policy_type
from fluxgate_admin.errors import UnprocessableError
from fluxgate_admin.ids import PREFIXES, public_id
from fluxgate_admin.use_cases.pointers import pointer
from fluxgate_admin.v2.spelling import to_camel

WELL_KNOWN = "/.well-known/jwks.json"
"""Where an issuer publishes its keys when a body says nothing else."""
_ALGORITHMS = ("RS256", "ES256")
_PROVIDER = "main"

FindPlugin = Callable[[str], str | None]
"""The name of a Plugin of the route's namespace, by its public id or its name."""


def type_named(spelled: str) -> str | None:
    """The type of policy a body means by ``jwt_auth`` or ``jwt-auth``; None if there is none."""
    name = spelled.replace("_", "-")
    return name if policy_type(name) is not None else None


def read_use(
    use: Mapping[str, Any], index: int, find: FindPlugin, origins: dict[str, str]
) -> dict[str, Any]:
    """One entry of a Route's ``plugins``. Raises ``UnprocessableError`` for an id of nothing."""
    here, there = pointer("plugins", index), pointer("spec", "plugins", index)
    origins |= {there: here, f"{there}/type": f"{here}/id", f"{there}/name": f"{here}/id"}
    made: dict[str, Any] = {}
    if (kind := type_named(use["id"])) is not None:
        made["type"] = kind
    elif (name := find(use["id"])) is not None:
        made["name"] = name
    else:
        raise _unknown(f"{here}/id", use["id"])
    config = use.get("config")
    if config is not None:
        made["config"] = (
            config
            if kind is None
            else read_config(kind, config, f"{here}/config", f"{there}/config", origins)
        )
    if use.get("enabled") is not None:
        made["enabled"] = use["enabled"]
    if use.get("merge_strategy") is not None:
        made["mergeStrategy"] = use["merge_strategy"]
    return made


def read_config(
    kind: str, config: Mapping[str, Any], here: str, there: str, origins: dict[str, str]
) -> dict[str, Any]:
    """A config in the words of its type; it stands at ``here`` in the body, at ``there`` in the document."""
    known = policy_type(kind)
    if known is None:
        return dict(config)
    if kind == "jwt-auth" and "issuer" in config and "providers" not in config:
        config = _one_issuer(config, here, there, origins)
    camel: dict[str, Any] = to_camel(known.config, config)
    return camel


def _one_issuer(
    config: Mapping[str, Any], here: str, there: str, origins: dict[str, str]
) -> dict[str, Any]:
    """The short form of jwt-auth: one issuer, whose keys are where issuers publish them."""
    provider = f"{there}/providers/0"
    origins |= {f"{there}/providers": here, provider: here}
    made: dict[str, Any] = {"name": _PROVIDER, "algorithms": list(_ALGORITHMS)}
    if "jwks" not in config:
        url = f"{str(config['issuer']).rstrip('/')}{WELL_KNOWN}"
        made["jwks"] = {"remote": {"url": url}}
        origins[f"{provider}/jwks"] = f"{here}/issuer"
        origins[f"{provider}/jwks/remote"] = f"{here}/issuer"
        origins[f"{provider}/jwks/remote/url"] = f"{here}/issuer"
    return {"providers": [{**made, **config}]}


def shown_use(use: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """An entry of a Route's ``plugins`` as bodies have it."""
    kind, name = use.get("type"), use.get("name")
    shown = {key: value for key, value in use.items() if key not in ("type", "name")}
    return {"id": kind or public_id(ObjectRef("Plugin", namespace, str(name))), **shown}


def is_plugin_id(text: str) -> bool:
    """Whether a text looks like the public id of a Plugin."""
    return text.startswith(f"{PREFIXES['Plugin']}_")


def _unknown(place: str, spelled: str) -> UnprocessableError:
    names = ", ".join(sorted(each.name for each in POLICY_TYPES))
    message = (
        f"{spelled!r} is neither a type of plugin nor a Plugin of this namespace; types: {names}"
    )
    problem = {
        "pointer": place,
        "message": message,
        "reason": "UnsupportedType",
        "source": "schema",
    }
    return UnprocessableError(f"{place}: {message}", [problem], error="invalid")
