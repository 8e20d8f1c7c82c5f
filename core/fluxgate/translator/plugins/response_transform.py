"""``response-transform``: what changes before the client sees the answer."""

from __future__ import annotations

from fluxgate.api.v1alpha1 import Model
from fluxgate.ir.policies.transform import ResponseTransform
from fluxgate.translator.plugins.base import Context, Policies, PolicyType
from fluxgate.translator.plugins.body_changes import ResponseBodyChanges, body_changes
from fluxgate.translator.plugins.header_changes import ResponseHeaderChanges, header_changes


class ResponseTransformConfig(Model):
    """The config of ``response-transform``.

    Headers change on every answer of the route, those of the gateway itself included; bodies only on
    answers of the upstream, which is asked for the whole of it and without compression.
    """

    headers: ResponseHeaderChanges = ResponseHeaderChanges()
    body: ResponseBodyChanges = ResponseBodyChanges()


def _apply(policies: Policies, config: ResponseTransformConfig, _context: Context) -> Policies:
    transform = ResponseTransform(header_changes(config.headers), body_changes(config.body))
    return policies if transform == ResponseTransform() else policies.adding(transform)


POLICY = PolicyType(
    "response-transform",
    ResponseTransformConfig,
    _apply,
    summary="Changes headers and JSON body of an answer for the client.",
    example=(
        "headers:\n"
        '  set: {cache-control: no-store, x-status: "${response.status}"}\n'
        "  remove: [x-powered-by, server-timing]\n"
        "body:\n"
        "  remove: [internal, items.*.cost]\n"
        "  rename: {user.mail: email}\n"
    ),
    errors=(
        (
            502,
            "body: the answer is larger than body.maxBytes, compressed or broken; or nonJson: Refuse",
        ),
    ),
)
