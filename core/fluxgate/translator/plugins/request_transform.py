"""``request-transform``: what changes before the upstream sees the request."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.base import ExactHostname
from fluxgate.api.v1alpha1.patterns import LINE_PATTERN
from fluxgate.api.v1alpha1.route import PathRewrite, Rewrite
from fluxgate.api.v1alpha1.rules import Rule
from fluxgate.ir.policies.transform import Change, QueryChange, RequestTransform
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.plugins.base import Context, Policies, PolicyType
from fluxgate.translator.plugins.body_changes import RequestBodyChanges, body_changes
from fluxgate.translator.plugins.header_changes import HeaderChanges, header_changes
from fluxgate.translator.plugins.templates import (
    OF_REQUEST,
    REQUEST_VALUES,
    RequestTemplate,
    parse_template,
)

ParameterName = Annotated[
    str, StringConstraints(pattern=LINE_PATTERN, min_length=1, max_length=256)
]
ParameterValues = Annotated[dict[ParameterName, RequestTemplate], Field(max_length=64)]


class QueryChanges(Model):
    """Changes of query parameters: remove, set, add, in this order; the others keep their bytes.

    Names and values are written plainly and percent-encoded by the gateway.
    """

    set: ParameterValues = Field(
        default_factory=dict,
        description="Replace a parameter, every one of the name, or add it when it is absent. "
        f"{REQUEST_VALUES}",
    )
    add: ParameterValues = Field(
        default_factory=dict, description="Add one more of the name, at the end."
    )
    remove: Annotated[tuple[ParameterName, ...], Field(max_length=64)] = Field(
        default=(), description="Remove every parameter of the name."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "remove",
            "a parameter is either set or removed",
            "!has(self.set) || !has(self.remove) || self.remove.all(n, !(n in self.set))",
            lambda self: not set(self.set).intersection(self.remove),
        ),
    )


class RequestTransformConfig(Model):
    """The config of ``request-transform``.

    Never changed: headers of identity, of the connection, of the framing, and the gateway's own.
    """

    headers: HeaderChanges = HeaderChanges()
    query: QueryChanges = QueryChanges()
    path: PathRewrite | None = Field(
        default=None,
        description="As spec.rewrite.path of a Route, which wins where both are given.",
    )
    host: ExactHostname | None = Field(
        default=None,
        description="The host the upstream sees; spec.rewrite.host of a Route wins.",
    )
    body: RequestBodyChanges = RequestBodyChanges()


def _apply(policies: Policies, config: RequestTransformConfig, context: Context) -> Policies:
    path = config.path
    if path is not None and path.type == "ReplacePrefix":
        kinds = {match.path.type for match in context.route.spec.matches}
        if not kinds <= {"Prefix", "Exact"}:
            raise PolicyError(
                "config.path.type",
                "ReplacePrefix needs a route whose matches are of type Prefix or Exact; use "
                "ReplaceFull or Regex",
            )
    if path is not None or config.host is not None:
        policies = replace(policies, rewrite=Rewrite(path=path, host=config.host))
    transform = RequestTransform(
        header_changes(config.headers), _query(config.query), body_changes(config.body)
    )
    return policies if transform == RequestTransform() else policies.adding(transform)


def _query(config: QueryChanges) -> tuple[QueryChange, ...]:
    removed = [QueryChange(Change.REMOVE, name) for name in config.remove]
    valued = [
        QueryChange(change, name, parse_template(text, OF_REQUEST))
        for change, values in ((Change.SET, config.set), (Change.ADD, config.add))
        for name, text in sorted(values.items())
    ]
    return (*removed, *valued)


POLICY = PolicyType(
    "request-transform",
    RequestTransformConfig,
    _apply,
    summary="Changes headers, query, path, host and JSON body of a request for the upstream.",
    example=(
        "headers:\n"
        '  set: {x-environment: production, x-client: "${client.ip}"}\n'
        "  rename: {x-old-name: x-new-name}\n"
        "  remove: [x-debug]\n"
        "query:\n"
        '  set: {version: "2", tenant: "${request.headers.x-tenant-id}"}\n'
        "path: {type: ReplacePrefix, value: /v2}\n"
        "host: orders.internal.example.com\n"
        "body:\n"
        '  set: {meta.source: gateway, meta.id: "${request.id}"}\n'
        "  remove: [user.role, items.*.discount]\n"
        "  nonJson: Refuse\n"
    ),
    errors=(
        (400, "body: the request says it is JSON and is not"),
        (413, "body: the request is larger than body.maxBytes"),
        (415, "body: the request is compressed, or not JSON and body.nonJson is Refuse"),
    ),
)
