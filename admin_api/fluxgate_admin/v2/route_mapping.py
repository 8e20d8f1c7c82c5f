"""Routes as bodies have them, and as the kind does. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluxgate.api.v1alpha1 import Route, RouteSpec
from fluxgate.api.v1alpha1.matching import RouteMatch
from fluxgate.api.v1alpha1.policy import CircuitBreaker, Retry, Timeouts
from fluxgate.api.v1alpha1.route import BackendRef
from fluxgate_admin.errors import UnprocessableError
from fluxgate_admin.use_cases.merging import merge
from fluxgate_admin.use_cases.pointers import Pointers, pointer
from fluxgate_admin.v2.catch_all import check_said
from fluxgate_admin.v2.paths import read_path, shown_path
from fluxgate_admin.v2.plugin_uses import FindPlugin, read_use, shown_use
from fluxgate_admin.v2.spelling import to_camel

_NOT_SPEC = ("name", "namespace", "labels")
_SHORT = (
    ("timeout", "timeouts", "request", Timeouts),
    ("retries", "retry", "attempts", Retry),
    ("circuit_breaker", "circuitBreaker", "", CircuitBreaker),
)
_NAMED = ("match", "upstream", "plugins", "timeout", "retries", "circuit_breaker")

Spec = Mapping[str, Any]


def route_spec(
    fields: Mapping[str, Any], before: Spec, find: FindPlugin
) -> tuple[dict[str, Any], Pointers]:
    """The spec that ``fields`` of a body make of the spec there is, and where its parts come from.

    Objects merge, lists are replaced, null takes away (RFC 7396). Raises ``UnprocessableError``.
    """
    origins = {"": "", "/spec": "", "/metadata/name": "/name", "/metadata": ""}
    patch: dict[str, Any] = {}
    for key, value in fields.items():
        if key in _NOT_SPEC:
            continue
        if key not in _NAMED:
            patch |= to_camel(RouteSpec, {key: _tidy(value)})
    if "match" in fields:
        patch |= _matches(fields["match"], before, origins)
    if "upstream" in fields:
        patch["backends"] = _backends(fields["upstream"], origins)
    if "plugins" in fields:
        uses = fields["plugins"]
        patch["plugins"] = (
            None
            if uses is None
            else [read_use(each, index, find, origins) for index, each in enumerate(uses)]
        )
    patch |= _policies(fields, origins)
    spec = merge(dict(before), patch)
    assert isinstance(spec, dict)
    if "match" in fields:
        check_said(spec, fields["match"])
    return spec, Pointers(origins, dict(fields))


def _policies(fields: Mapping[str, Any], origins: dict[str, str]) -> dict[str, Any]:
    """What has a short form: a text or a number for the one thing most people say."""
    patch: dict[str, Any] = {}
    for name, field, short, model in _SHORT:
        if name not in fields:
            continue
        value = fields[name]
        origins[f"/spec/{field}"] = f"/{name}"
        if value is not None and not isinstance(value, Mapping):
            origins[f"/spec/{field}/{short}"] = f"/{name}"
            value = {short: value}
        patch[field] = to_camel(model, _tidy(value))
    return patch


def _matches(match: Any, before: Spec, origins: dict[str, str]) -> dict[str, Any]:  # noqa: ANN401 - JSON
    if match is None:
        return {"matches": None, "hosts": None}
    if isinstance(match, list):
        made = [
            merge({}, _match(each, pointer("match", index), index, origins))
            for index, each in enumerate(match)
        ]
        return {"matches": made, **_hosts_of_all(match, origins)}
    known = before.get("matches") or [{}]
    if len(known) > 1:
        raise _several(len(known))
    merged = merge(known[0], _match(match, "/match", 0, origins))
    patch: dict[str, Any] = {"matches": [merged]}
    if "hosts" in match:
        patch["hosts"] = match["hosts"]
        origins["/spec/hosts"] = "/match/hosts"
    return patch


def _match(
    match: Mapping[str, Any], here: str, index: int, origins: dict[str, str]
) -> dict[str, Any]:
    there = pointer("spec", "matches", index)
    origins[there] = here
    rest = {key: value for key, value in match.items() if key != "hosts"}
    if isinstance(path := rest.get("path"), str):
        rest["path"] = read_path(path, f"{here}/path")
        origins[f"{there}/path"] = origins[f"{there}/path/value"] = f"{here}/path"
    for name, field in (("headers", "headers"), ("query_params", "queryParams")):
        if isinstance(values := rest.get(name), Mapping):
            rest[name] = [{"name": key, "value": value} for key, value in values.items()]
            for place, key in enumerate(values):
                origins[f"{there}/{field}/{place}"] = here + pointer(name, key)
    made: dict[str, Any] = to_camel(RouteMatch, _tidy(rest))
    return made


def _hosts_of_all(matches: list[Mapping[str, Any]], origins: dict[str, str]) -> dict[str, Any]:
    """The hosts, which are the whole route's: every match that names any has to name the same."""
    named = [(i, each["hosts"]) for i, each in enumerate(matches) if each.get("hosts") is not None]
    if not named:
        return {}
    first, hosts = named[0]
    for index, other in named[1:]:
        if other != hosts:
            place = pointer("match", index, "hosts")
            raise _wrong(
                place,
                "hosts hold for the whole route: write the same in every match, or make two routes",
            )
    origins["/spec/hosts"] = pointer("match", first, "hosts")
    return {"hosts": hosts}


def _backends(upstream: Any, origins: dict[str, str]) -> list[dict[str, Any]] | None:  # noqa: ANN401 - JSON
    origins["/spec/backends"] = "/upstream"
    if upstream is None:
        return None
    if isinstance(upstream, list):
        return [to_camel(BackendRef, _tidy(each)) for each in upstream]
    origins["/spec/backends/0"] = "/upstream"
    if isinstance(upstream, str):
        origins["/spec/backends/0/url"] = "/upstream"
        return [{"url": upstream}]
    return [to_camel(BackendRef, _tidy(upstream))]


def _tidy(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Without nulls in the items of lists: those are whole, so a null only says that nothing is there."""
    if isinstance(value, Mapping):
        return {key: _tidy(each) for key, each in value.items()}
    if isinstance(value, list):
        return [merge({}, each) if isinstance(each, Mapping) else each for each in value]
    return value


def _several(count: int) -> UnprocessableError:
    return _wrong("/match", f"the route has {count} matches; give the whole list")


def _wrong(place: str, message: str) -> UnprocessableError:
    problem = {"pointer": place, "message": message, "reason": "Invalid", "source": "schema"}
    return UnprocessableError(f"{place}: {message}", [problem], error="invalid")


def shown_spec(route: Route) -> dict[str, Any]:
    """A route's spec as bodies have it: what :func:`route_spec` makes the same spec of."""
    spec: dict[str, Any] = route.spec.model_dump(mode="json", by_alias=False, exclude_unset=True)
    matches = spec.pop("matches", [{}])
    hosts = spec.pop("hosts", None)
    shown = [_shown_match(each, hosts) for each in matches]
    made: dict[str, Any] = {"match": shown[0] if len(shown) == 1 else shown}
    if (backends := spec.pop("backends", None)) is not None:
        made["upstream"] = _shown_upstream(backends)
    namespace = route.metadata.namespace
    if (uses := spec.pop("plugins", None)) is not None:
        made["plugins"] = [shown_use(each, namespace) for each in uses]
    for name, field, short in (
        ("timeout", "timeouts", "request"),
        ("retries", "retry", "attempts"),
    ):
        if (value := spec.pop(field, None)) is not None:
            made[name] = value[short] if set(value) == {short} else value
    return made | {key.rstrip("_"): value for key, value in spec.items()}


def _shown_match(match: Mapping[str, Any], hosts: list[str] | None) -> dict[str, Any]:
    rest = {key: value for key, value in match.items() if key != "path"}
    return {
        **({"hosts": hosts} if hosts is not None else {}),
        "path": shown_path(match.get("path") or {}),
        **rest,
    }


def _shown_upstream(backends: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if len(backends) == 1 and set(backends[0]) == {"url"}:
        return str(backends[0]["url"])
    return backends
