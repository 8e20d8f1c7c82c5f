"""``mcp``: a route to an MCP server as a protected resource (Model Context Protocol, authorization).

The metadata of RFC 9728 is served beside the route, refusals say where it is, and tokens are those of a
policy of type ``jwt-auth`` on the same route, issued for this resource. Streamable HTTP and
server-sent events pass without a timeout for the whole answer.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.base import Line, Scope, split_url
from fluxgate.api.v1alpha1.policy import Timeouts
from fluxgate.ir import DirectResponse, PathKind, PathMatch, RouteMatch
from fluxgate.ir.policies.jwt_auth import JwtAuth, JwtProvider
from fluxgate.ir.policies.mcp import Mcp
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.plugins.base import Beside, Context, Policies, PolicyType

WELL_KNOWN = "/.well-known/oauth-protected-resource"
STREAMING = Timeouts(request="0s", idle="1h")
DEFAULT_MESSAGE_BYTES = 1024 * 1024


def _check_url(text: str) -> str:
    scheme, _, rest = text.partition("://")
    if not 1 <= split_url(f"{scheme}://{rest.partition('/')[0]}")[2] <= 65535:
        raise ValueError(f"{text!r}: the port must be between 1 and 65535")
    return text


Url = Annotated[
    str,
    StringConstraints(
        pattern=r"^https?://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
        r"(/[-A-Za-z0-9._~]+)*/?$",
        max_length=1024,
    ),
    AfterValidator(_check_url),
]
ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_./-]+$", max_length=128)]


class McpConfig(Model):
    """The config of ``mcp``."""

    resource: Url = Field(
        description="The URL clients use, as https://api.example.com/mcp. Tokens have to name it as "
        "their audience."
    )
    authorization_servers: Annotated[tuple[Url, ...], Field(min_length=1, max_length=8)] = Field(
        description="Issuers that clients may ask for tokens."
    )
    scopes: Annotated[tuple[Scope, ...], Field(max_length=64)] = Field(
        default=(),
        description="Scopes that clients may ask for; what a route requires says its auth.",
    )
    resource_name: Line | None = Field(default=None, description="A name for people.")
    documentation: Url | None = Field(default=None, description="A page for developers.")
    allowed_tools: Annotated[tuple[ToolName, ...], Field(max_length=256)] | None = Field(
        default=None,
        description="Tools that may be called; any other is refused with 403, and what is no MCP "
        "message with 400. Every tool when absent, none when empty.",
    )
    max_message_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = Field(
        default=DEFAULT_MESSAGE_BYTES,
        description="Of a message that is read for allowedTools; 400 above.",
    )


def _apply(policies: Policies, config: McpConfig, context: Context) -> Policies:
    _require_tokens(policies, config, context)
    scheme, _, rest = config.resource.partition("://")
    authority, _, path = rest.partition("/")
    well_known = WELL_KNOWN + ("/" + path.rstrip("/") if path else "")
    challenge = f'resource_metadata="{scheme}://{authority}{well_known}"'
    if config.scopes:
        challenge += f', scope="{" ".join(config.scopes)}"'
    policy = Mcp(challenge, config.allowed_tools, config.max_message_bytes)
    metadata = Beside("protected-resource", _match(well_known), _answer(config))
    return replace(
        policies.adding(policy),
        timeouts=policies.timeouts or STREAMING,
        beside=(*policies.beside, metadata),
    )


def _require_tokens(policies: Policies, config: McpConfig, context: Context) -> None:
    """A server that agents reach must not be open, nor open to tokens for another server."""
    auth = context.route.spec.auth or policies.auth
    trust = next((each for each in policies.on_route if isinstance(each, JwtAuth)), None)
    asked = auth is None or (auth.mode == "Required" and "JWT" in (auth.credentials or ("JWT",)))
    if trust is None or not asked:
        raise PolicyError(
            "config",
            "the route has to require tokens: give it a policy of type 'jwt-auth' whose providers "
            f"have the audience {config.resource}",
        )
    for provider in policies.shared:
        if not isinstance(provider, JwtProvider) or provider.name not in trust.providers:
            continue
        if provider.audiences != (config.resource,):
            listed = ", ".join(provider.audiences) or "any"
            raise PolicyError(
                "config.resource",
                f"the provider {provider.name} takes tokens for {listed}; its only audience has to be "
                f"{config.resource}, or tokens for other servers would be good here",
            )


def _match(path: str) -> RouteMatch:
    return RouteMatch(PathMatch(PathKind.EXACT, path), methods=("GET", "HEAD", "OPTIONS"))


def _answer(config: McpConfig) -> DirectResponse:
    """RFC 9728, 3.2. Clients in browsers have other origins, and there is nothing to protect."""
    document: dict[str, object] = {
        "resource": config.resource,
        "authorization_servers": list(config.authorization_servers),
        "bearer_methods_supported": ["header"],
    }
    if config.scopes:
        document["scopes_supported"] = list(config.scopes)
    if config.resource_name is not None:
        document["resource_name"] = config.resource_name
    if config.documentation is not None:
        document["resource_documentation"] = config.documentation
    return DirectResponse(
        status=200,
        message=json.dumps(document, separators=(",", ":")),
        content_type="application/json",
        headers=(
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "GET"),
            ("access-control-allow-headers", "mcp-protocol-version"),
        ),
        verbatim=True,
    )


POLICY = PolicyType(
    "mcp",
    McpConfig,
    _apply,
    summary="Protects an MCP server by OAuth 2.1 tokens, tells clients where to get them, and may list "
    "the tools they may call.",
    example="""\
resource: https://api.example.com/mcp
authorizationServers: [https://id.example.com/]
scopes: [tools.read, tools.write]
allowedTools: [search, fetch]
""",
    errors=(
        (400, "allowedTools is set and the message is no JSON-RPC message of MCP, or too large"),
        (
            401,
            "the token is missing or not good; www-authenticate names the metadata of the resource",
        ),
        (403, "the tool is not allowed, or the token lacks a scope"),
    ),
)
