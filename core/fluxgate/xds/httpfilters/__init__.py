"""HTTP filters, one file each with the same three hooks, and the one table of their order.

A request passes :data:`ORDER` from first to last; responses and local replies pass it
backwards. ``GET /v2/plugins`` and the documentation show this same table.
"""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.xds.httpfilters.access import AccessDecision
from fluxgate.xds.httpfilters.api_key_auth import ApiKeyAuth
from fluxgate.xds.httpfilters.bandwidth import BandwidthLimit
from fluxgate.xds.httpfilters.base import HTTPFilter
from fluxgate.xds.httpfilters.body_limit import BodyLimitFilter
from fluxgate.xds.httpfilters.compression import CompressionFilter
from fluxgate.xds.httpfilters.cors import Cors
from fluxgate.xds.httpfilters.ext_authz import ExternalAuthorization
from fluxgate.xds.httpfilters.extensions import Extensions
from fluxgate.xds.httpfilters.fault import FaultInjection
from fluxgate.xds.httpfilters.global_limit import GlobalLimit
from fluxgate.xds.httpfilters.grpc_web import GrpcWebBridge
from fluxgate.xds.httpfilters.guards import Guards
from fluxgate.xds.httpfilters.header_mutation import HeaderMutation
from fluxgate.xds.httpfilters.jwt_auth import JwtAuthentication
from fluxgate.xds.httpfilters.oidc_session import OidcSession
from fluxgate.xds.httpfilters.plan_limit import PlanLimit
from fluxgate.xds.httpfilters.router import Router
from fluxgate.xds.httpfilters.termination import Termination
from fluxgate.xds.httpfilters.transform import Transform


@dataclass(frozen=True, slots=True)
class Place:
    """One filter and why it stands where it stands."""

    filter: HTTPFilter
    reason: str


ORDER: tuple[Place, ...] = (
    Place(
        Cors(),
        "first: a preflight carries no credential and is answered before anything asks for one, "
        "and refusals of the later filters get their CORS headers",
    ),
    Place(
        GrpcWebBridge(),
        "before whatever refuses: a browser that calls by gRPC-Web understands refusals as gRPC only",
    ),
    Place(
        Termination(),
        "before any check: whoever calls a route in maintenance is told so, not asked for a "
        "credential",
    ),
    Place(
        Guards(),
        "before keys and tokens: who is refused for address, certificate or origin gets to try none, "
        "and who brings one is not sent to log in where it is enough",
    ),
    Place(
        OidcSession(),
        "right behind the login, whose ID token it reads and takes away",
    ),
    Place(
        ApiKeyAuth(),
        "before everything that depends on who is calling: it verifies the key, removes it from "
        "the request and says whose it is",
    ),
    Place(
        JwtAuthentication(),
        "after API keys, which may stand in the same header and are removed from it",
    ),
    Place(
        AccessDecision(),
        "after every filter that verifies a credential: the strongest decides who is calling",
    ),
    Place(
        ExternalAuthorization(),
        "after the access decision, so that the service is asked about callers that are known; "
        "before limits, which count only what may pass",
    ),
    Place(
        PlanLimit(),
        "after authentication, whose result it counts by; before the upstream costs anything",
    ),
    Place(
        GlobalLimit(),
        "after the limits of this Envoy: what it refuses itself costs no call to the service",
    ),
    Place(
        BodyLimitFilter(),
        "after the limits, so that no body is held of a request that is refused anyway; before "
        "everything that reads bodies",
    ),
    Place(
        FaultInjection(),
        "after everything that refuses: only a request that would have reached the upstream fails",
    ),
    Place(
        CompressionFilter(),
        "before everything that reads bodies: an answer passes backwards, and is compressed when "
        "nothing changes it any more",
    ),
    Place(
        Transform(),
        "after everything that protects, which judges what the client sent; its changes are what "
        "Plugins' code and the upstream see. It bounds answers before it changes them, and before "
        "they are compressed",
    ),
    Place(
        HeaderMutation(),
        "right behind the changes of query and body, to which it tells how an answer came about",
    ),
    Place(
        Extensions(),
        "after everything that protects: code and services of Plugins get only what may pass, and "
        "see what the upstream would see",
    ),
    Place(
        BandwidthLimit(),
        "behind everything that reads or changes bodies: it counts the bytes as they flow",
    ),
    Place(
        Router(),
        "last: it sends the request to the upstream, nothing behind it would ever run",
    ),
)
"""Every HTTP filter of the gateway, in the order requests pass them, each with its reason."""


def ordered_filters() -> tuple[HTTPFilter, ...]:
    """The filters of :data:`ORDER` without their reasons."""
    return tuple(place.filter for place in ORDER)
