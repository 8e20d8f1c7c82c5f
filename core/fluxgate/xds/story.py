"""A request's story in the words of spans and logs: who called, what limits said, where it went.

Both are filled from the same operators (Envoy's substitution formatter), so that they never
differ. Ids of keys, never keys; paths without their query, which may hold a credential.
"""

from __future__ import annotations

from fluxgate.xds import names

PATH = "%PATH(NQ:ORIG_OR_PATH)%"
"""As the client sent it, without its query: ?apikey= is a credential, other queries may be too."""

_AUTH = f"metadata.filter_metadata['{names.AUTH_METADATA}']"
_SAID = f"'{names.AUTH_METADATA}' in metadata.filter_metadata"
_LIMITED = "response.code_details.endsWith('rate_limited')"
_REFUSED = (
    "(response.code == 401 || response.code == 403)"
    f" && response.code_details != 'via_upstream' && !{_LIMITED}"
)

REFUSALS = {"authentication": _REFUSED, "rate_limit": _LIMITED}
"""CEL: why the gateway itself refused; at most one holds, and only for statuses from 400."""

AUTHENTICATION = (
    f"%CEL({_REFUSED} ? 'refused' : {_SAID} && 'key_id' in {_AUTH} ? 'verified' : 'none')%"
)
"""``refused`` by the gateway, ``verified``, or ``none``: nobody asked, or nobody had to answer."""

_BY_CALLER = f"{_SAID} && ('plan' in {_AUTH} || 'anonymous_plan' in {_AUTH})"
# where there is no route, there is no metadata of it, and to ask for it is an error
_OF_ROUTE = (
    "has(xds.route_metadata) && ("
    + " || ".join(
        f"'{each}' in xds.route_metadata.filter_metadata"
        for each in (names.PLAN_LIMIT_FILTER, names.GLOBAL_LIMIT_FILTER)
    )
    + ")"
)

RATE_LIMIT = (
    f"%CEL({_LIMITED} ? 'limited' : "
    # who is refused is not counted
    f"{_REFUSED} ? 'none' : {_BY_CALLER} || {_OF_ROUTE} ? 'within' : 'none')%"
)
"""``limited`` (refused), ``within`` the limits that counted it, or ``none``."""

ROUTE = "%ROUTE_NAME%"
"""The route that was taken (``route/<namespace>/<name>/<match>``); nothing where there was none."""


def caller(field: str) -> str:
    """One thing known of the verified caller: ``key_id``, ``tenant``, ``credential``, ``plan``."""
    return f"%DYNAMIC_METADATA({names.AUTH_METADATA}:{field})%"
