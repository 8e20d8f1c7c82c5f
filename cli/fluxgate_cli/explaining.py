"""An explanation of the core's in the shape the control API and ``fluxgate explain`` show."""

from __future__ import annotations

from fluxgate.explaining import explain_in
from fluxgate.ir import Gateway
from fluxgate_cli.control.models import CandidateView, ExplainReply, ExplainRequest, PolicyView
from fluxgate_cli.errors import UsageError


def explain_request(gateway: Gateway, request: ExplainRequest) -> ExplainReply:
    """Which route of ``gateway`` takes ``request``.

    Raises :class:`UsageError` when the URL cannot be read or the gateway has no listener.
    """
    try:
        found = explain_in(gateway, request.method, request.url, request.headers)
    except ValueError as error:
        raise UsageError(str(error)) from None
    way = found.way
    return ExplainReply(
        gateway=found.gateway,
        listener=found.listener,
        method=way.method,
        host=way.host,
        path=way.path,
        query=way.query,
        credential=way.credential,
        virtual_host=way.virtual_host,
        virtual_host_reason=way.virtual_host_reason,
        route=way.route,
        object=str(way.origin or ""),
        reason=way.reason,
        action=found.action,
        policies=found.policies,
        chain=tuple(
            PolicyView(
                type=each.type,
                object=str(each.source),
                appended_to=tuple(map(str, each.appended_to)),
            )
            for each in found.chain
        ),
        tried=tuple(
            CandidateView(
                route=each.route,
                object=str(each.origin),
                condition=each.condition,
                reason=each.reason,
            )
            for each in way.tried
        ),
    )
