"""CORS: the policy as IR, preflight siblings, and the split by method of a tenant's origins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from fluxgate.api.v1alpha1 import duration_ms
from fluxgate.api.v1alpha1.policy import Cors
from fluxgate.ir import CorsPolicy, RouteMatch, ValueKind, ValueMatch

READ_METHODS = ("GET", "HEAD")
_GIVEN = ".+"
"""A header that is there and not empty: Envoy's CORS filter overlooks empty ones."""


@dataclass(frozen=True, slots=True)
class CrossOrigin:
    """The policies of a route: one for reading methods, one for the others; often the same."""

    read: CorsPolicy | None = None
    write: CorsPolicy | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """One IR route made from one match. Made up ones (``synthetic``) yield to what users wrote.

    Every one of them has its parent's action and protection. Envoy's CORS filter runs before
    authentication and answers every preflight that it sees, allowed or not; it sees none on a
    route that sends to no cluster. Should a request get past it, it meets the same
    authentication as any other.
    """

    suffix: str
    match: RouteMatch
    cors: CorsPolicy | None
    synthetic: bool = False


def cors_policy(cors: Cors) -> CorsPolicy:
    """The IR of a policy."""
    return CorsPolicy(
        allow_origins=cors.allow_origins,
        allow_methods=cors.allow_methods,
        allow_headers=cors.allow_headers,
        expose_headers=cors.expose_headers,
        allow_credentials=cors.allow_credentials,
        max_age_s=duration_ms(cors.max_age) // 1000,
    )


def same_for_all(cors: Cors) -> CrossOrigin:
    """One policy for every method."""
    policy = cors_policy(cors)
    return CrossOrigin(policy, policy)


def tenant_origins(origins: tuple[str, ...]) -> CrossOrigin:
    """A tenant's rule: any origin may read, these may write."""
    default = Cors()
    writing = tuple(method for method in default.allow_methods if method not in READ_METHODS)
    read = cors_policy(default.model_copy(update={"allow_methods": READ_METHODS}))
    write = cors_policy(
        default.model_copy(update={"allow_origins": origins, "allow_methods": writing})
    )
    return CrossOrigin(read, write)


def variants(match: RouteMatch, cors: CrossOrigin) -> Iterator[Variant]:
    """The IR routes of one match: itself, its reading half where that differs, preflights."""
    same = cors.read == cors.write
    own = [Variant("", match, cors.write)] if same else _by_method(match, cors)
    for variant in own:
        yield variant
        if variant.cors is not None and _misses_preflight(variant.match):
            yield Variant(
                f"{variant.suffix}/preflight",
                preflight_match(variant.match),
                variant.cors,
                synthetic=True,
            )


def _by_method(match: RouteMatch, cors: CrossOrigin) -> list[Variant]:
    reading = tuple(each for each in READ_METHODS if not match.methods or each in match.methods)
    if match.methods and set(match.methods) <= set(READ_METHODS):
        return [Variant("", match, cors.read)]
    own = [Variant("", match, cors.write)]
    if reading:
        half = replace(match, methods=reading)
        own.append(Variant("/read", half, cors.read, synthetic=True))
    return own


def _misses_preflight(match: RouteMatch) -> bool:
    """A preflight has method OPTIONS, no credential, and none of the request's own headers."""
    misses_method = bool(match.methods) and "OPTIONS" not in match.methods
    return misses_method or bool(match.headers) or match.credential is not None


def preflight_match(match: RouteMatch) -> RouteMatch:
    """What the preflight of a request that ``match`` takes looks like (Fetch standard, 4.8).

    No broader than what Envoy's CORS filter takes for a preflight, so that no other
    OPTIONS request gets to a route for, say, POST.
    """
    wanted = "|".join(match.methods) or _GIVEN
    asked = ValueMatch("access-control-request-method", ValueKind.REGEX, wanted)
    return RouteMatch(
        path=match.path,
        methods=("OPTIONS",),
        headers=(asked, ValueMatch("origin", ValueKind.REGEX, _GIVEN)),
        query=match.query,
    )
