"""Headers, changed by Envoy's own filter: those of requests and answers, and those for browsers.

Answers of the gateway itself pass the filter, too, so refusals get their security headers.
Values come from formatters that take nothing but header values and the like, which hold no line ends; the
query, which Envoy decodes, is left to the script of :mod:`fluxgate.xds.httpfilters.transform`.

Protos: envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute,
envoy.config.common.mutation_rules.v3.HeaderMutation.
"""

from __future__ import annotations

from collections.abc import Iterator

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2 as mutation_rules_v3
from envoy.config.core.v3 import base_pb2 as core_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2 as mutation_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ir.policies.response_size import ResponseLimit
from fluxgate.ir.policies.transform import (
    Change,
    HeaderChange,
    RequestTransform,
    ResponseTransform,
    SecurityHeaders,
    Source,
    Template,
)
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names
from fluxgate.xds.proto import any_of

_OPERATORS = {
    Source.REQUEST_HEADER: "%REQ({})%",
    Source.REQUEST_METHOD: "%REQ(:METHOD)%",
    Source.REQUEST_PATH: "%PATH(NQ:ORIG_OR_PATH)%",
    Source.REQUEST_HOST: "%REQ(:AUTHORITY)%",
    Source.REQUEST_SCHEME: "%REQ(:SCHEME)%",
    Source.REQUEST_ID: "%REQ(X-REQUEST-ID)%",
    Source.CLIENT_IP: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    Source.RESPONSE_HEADER: "%RESP({})%",
    Source.RESPONSE_STATUS: "%RESPONSE_CODE%",
}
_STORY = "%RESPONSE_CODE_DETAILS% %REQ(:METHOD)% %REQ(X-REQUEST-ID)%"
_SET = core_v3.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
_ADD = core_v3.HeaderValueOption.APPEND_IF_EXISTS_OR_ADD
_DEFAULT = core_v3.HeaderValueOption.ADD_IF_ABSENT


def format_of(template: Template) -> str:
    """The template in Envoy's format; raises ``KeyError`` for a value of the query."""
    return "".join(
        part.name.replace("%", "%%")
        if part.source is Source.TEXT
        else _OPERATORS[part.source].format(part.name)
        for part in template
    )


def request_mutations(transform: RequestTransform) -> list[mutation_rules_v3.HeaderMutation]:
    """The changes of a request's headers that are not left to the script."""
    return [
        mutation
        for change in transform.headers
        if not change.from_query
        for mutation in _mutations(change, "request")
    ]


def _mutations(change: HeaderChange, message: str) -> Iterator[mutation_rules_v3.HeaderMutation]:
    match change.change:
        case Change.SET:
            yield _set(change.name, format_of(change.value))
        case Change.ADD:
            yield _set(change.name, format_of(change.value), _ADD)
        case Change.RENAME:
            # an expression, because the operators read the first of several values only
            yield _set(change.to, f"%CEL({message}.headers['{change.name}'])%")
            yield mutation_rules_v3.HeaderMutation(remove=change.name)
        case Change.REMOVE:
            yield mutation_rules_v3.HeaderMutation(remove=change.name)


def _set(
    name: str, value: str, action: core_v3.HeaderValueOption.HeaderAppendAction = _SET
) -> mutation_rules_v3.HeaderMutation:
    header = core_v3.HeaderValue(key=name, value=value)
    option = core_v3.HeaderValueOption(header=header, append_action=action)
    return mutation_rules_v3.HeaderMutation(append=option)


def security_mutations(headers: SecurityHeaders) -> list[mutation_rules_v3.HeaderMutation]:
    """The headers for browsers; that of HTTPS only where the request came over it."""
    action = _SET if headers.override else _DEFAULT
    mutations = [_set(name, value.replace("%", "%%"), action) for name, value in headers.headers]
    if headers.transport:
        value = f"%CEL(request.scheme == 'https' ? '{headers.transport}' : '')%"
        mutations.append(_set("strict-transport-security", value, action))
    return mutations


class HeaderMutation:
    """The filter; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name: str = names.HEADER_MUTATION_FILTER

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """In every chain, off and empty."""
        del gateway
        config = any_of(mutation_v3.HeaderMutation())
        return hcm_v3.HttpFilter(name=self.name, disabled=True, typed_config=config)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Bring what the policies of the route change, and so switch the filter on."""
        request, response = route.policy(RequestTransform), route.policy(ResponseTransform)
        security = route.policy(SecurityHeaders)
        mutations = mutation_v3.Mutations()
        if request is not None:
            mutations.request_mutations.extend(_without_credentials(message, request))
            mutations.request_mutations.extend(request_mutations(request))
        if security is not None:
            mutations.response_mutations.extend(security_mutations(security))
        if response is not None:
            for change in response.headers:
                mutations.response_mutations.extend(_mutations(change, "response"))
        changes_body = response is not None and response.body is not None
        if changes_body or route.policy(ResponseLimit) is not None:
            # last, so that nothing else says it
            mutations.response_mutations.append(_set(names.ANSWERED_HEADER, _STORY))
        if mutations.ByteSize():
            per_route = any_of(mutation_v3.HeaderMutationPerRoute(mutations=mutations))
            message.typed_per_filter_config[self.name].CopyFrom(per_route)

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """None."""
        del gateway
        return ()


def _without_credentials(
    message: route_v3.Route, transform: RequestTransform
) -> Iterator[mutation_rules_v3.HeaderMutation]:
    """Remove a client's key before the route's own is set, not after it.

    A route that asks for no key drops such headers right before the upstream; one that sets them for
    its upstream has to keep what it set.
    """
    made = {change.to or change.name for change in transform.headers}
    dropped = [each for each in message.request_headers_to_remove if each in made]
    for name in dropped:
        message.request_headers_to_remove.remove(name)
        yield mutation_rules_v3.HeaderMutation(remove=name)
