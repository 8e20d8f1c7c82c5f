"""A real OpenID provider: authlib's authorization server over TLS, with one client and one user.

Authorization code with PKCE (required, S256), refresh tokens that rotate, ID tokens signed with
RS256, RP-initiated logout. Who comes to its login page is ``user``, without being asked.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, quote, urlsplit

from authlib.common.security import generate_token
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc6749.models import TokenMixin
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode
from authlib.oidc.core.models import AuthorizationCodeMixin
from joserfc.jwk import RSAKey

from support.certificates import Pair


@dataclass
class Client(ClientMixin):
    """The registered client."""

    client_id: str
    secret: str
    redirect_uris: tuple[str, ...]
    method: str

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uris[0]

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self.method

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token")


@dataclass
class Code(AuthorizationCodeMixin):
    """An authorization code that was issued."""

    code: str
    redirect_uri: str
    scope: str
    code_challenge: str
    code_challenge_method: str
    nonce: str | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> None:
        return None

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


@dataclass
class Token(TokenMixin):
    """Tokens that were issued together."""

    access: str
    refresh: str
    scope: str

    def check_client(self, client: ClientMixin) -> bool:
        return True

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Provider:
    """What the provider knows, and how it behaves; tests change and read it."""

    client: Client
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, auto_kid=True))
    user: dict[str, Any] = field(default_factory=lambda: {"sub": "user-1"})
    lifetime: int = 3600
    issuer: str = ""
    audience: str = ""
    new_id_token: bool = True
    """Whether a refresh brings a new ID token, too; providers need not."""
    codes: dict[str, Code] = field(default_factory=dict)
    tokens: list[Token] = field(default_factory=list)
    grants: list[str] = field(default_factory=list)
    sessions_ended: list[dict[str, str]] = field(default_factory=list)


class _Server(AuthorizationServer):
    def __init__(self, provider: Provider) -> None:
        super().__init__(scopes_supported=["openid", "profile", "email"])
        self.provider = provider
        self.register_token_generator(
            "default",
            BearerTokenGenerator(
                lambda **_: generate_token(40),
                lambda **_: generate_token(40),
                lambda *_: provider.lifetime,
            ),
        )
        self.register_grant(_CodeGrant, [_Pkce(required=True), _IdToken(provider)])
        self.register_grant(_RefreshGrant, [_IdToken(provider)])

    def query_client(self, client_id: str) -> Client | None:
        client = self.provider.client
        return client if client.client_id == client_id else None

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        issued = Token(token["access_token"], token["refresh_token"], token["scope"])
        self.provider.tokens.append(issued)
        self.provider.grants.append(request.payload.grant_type)

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any, Any]:
        return status, body, headers

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""


class _Request(OAuth2Request):
    """A request whose parameters are those of query and form."""

    def __init__(self, method: str, uri: str, form: dict[str, str], headers: Any) -> None:
        super().__init__(method, uri, headers=headers)
        self._form = form
        self.payload = BasicOAuth2Payload(dict(parse_qsl(urlsplit(uri).query)) | form)

    @property
    def form(self) -> dict[str, str]:
        return self._form


class _CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]  # noqa: RUF012

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        data = request.payload.data
        self.server.provider.codes[code] = Code(
            code,
            data["redirect_uri"],
            data["scope"],
            data.get("code_challenge", ""),
            data.get("code_challenge_method", ""),
            data.get("nonce"),
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        found: Code | None = self.server.provider.codes.get(code)
        return found

    def delete_authorization_code(self, authorization_code: Code) -> None:
        del self.server.provider.codes[authorization_code.code]

    def authenticate_user(self, authorization_code: Code) -> dict[str, Any]:
        user: dict[str, Any] = self.server.provider.user
        return user


class _RefreshGrant(RefreshTokenGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]  # noqa: RUF012
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        tokens = self.server.provider.tokens
        return next((each for each in tokens if each.refresh == refresh_token), None)

    def authenticate_user(self, credential: Token) -> dict[str, Any]:
        user: dict[str, Any] = self.server.provider.user
        return user

    def revoke_old_credential(self, credential: Token) -> None:
        self.server.provider.tokens.remove(credential)


class _Pkce(CodeChallenge):  # type: ignore[misc]
    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]  # noqa: RUF012

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        # authlib asks only public clients for it; RFC 9700 (2.1.1) every one
        data = grant.request.payload.data
        assert data.get("code_challenge_method") == "S256"
        super().validate_code_challenge(grant, redirect_uri)


class _IdToken(OpenIDCode):  # type: ignore[misc]
    def __init__(self, provider: Provider) -> None:
        super().__init__(require_nonce=False)
        self._provider = provider

    def exists_nonce(self, nonce: str, request: OAuth2Request) -> bool:
        return any(each.nonce == nonce for each in self._provider.codes.values())

    def resolve_client_private_key(self, client: Client) -> RSAKey:
        return self._provider.key

    def get_client_algorithm(self, client: Client) -> str:
        return "RS256"

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        audience = self._provider.audience or client.client_id
        return {"iss": self._provider.issuer, "aud": [audience]}

    def process_token(self, grant: Any, response: Any) -> Any:
        if grant.GRANT_TYPE == "refresh_token" and not self._provider.new_id_token:
            return response[1]
        return super().process_token(grant, response)

    def get_encode_header(self, client: Client) -> dict[str, str]:
        return {"alg": "RS256", "kid": str(self._provider.key.kid)}

    def generate_user_info(self, user: dict[str, Any], scope: str) -> dict[str, Any]:
        return user


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Https

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        self._answer(dict(parse_qsl(body)))

    def _answer(self, form: dict[str, str]) -> None:
        provider, protocol = self.server.provider, self.server.protocol
        uri = f"https://{self.headers['host']}{self.path}"
        request = _Request(self.command, uri, form, self.headers)
        match urlsplit(self.path).path:
            case "/authorize":
                answer = self._authorize(request)
            case "/token":
                answer = protocol.create_token_response(request)
            case "/end-session":
                provider.sessions_ended.append(request.payload.data)
                back = request.payload.data["post_logout_redirect_uri"]
                answer = (302, "", [("Location", quote(back, safe=":/?&=%"))])
            case _:
                answer = (404, {}, [])
        self._send(*answer)

    def _authorize(self, request: OAuth2Request) -> tuple[int, Any, Any]:
        provider, protocol = self.server.provider, self.server.protocol
        try:
            grant = protocol.get_consent_grant(request, provider.user)
        except OAuth2Error as error:
            return 400, {"error": error.error}, []
        answer: tuple[int, Any, Any] = protocol.create_authorization_response(
            request, provider.user, grant
        )
        return answer

    def _send(self, status: int, body: Any, headers: Any) -> None:
        payload = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class _Https(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, provider: Provider, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.provider, self.protocol = provider, _Server(provider)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that break a handshake are part of what is tested."""


class OpenIdProvider:
    """The provider of ``host``, on a free ``port`` of 127.0.0.1; ``state`` is what it knows."""

    def __init__(self, host: str, pair: Pair, folder: Path, client: Client) -> None:
        certificate = folder / "provider.pem"
        certificate.write_bytes(pair.certificate + pair.key)
        self.state = Provider(client)
        self._server = _Https(self.state, certificate)
        self.port = int(self._server.server_address[1])
        self.origin = f"https://{host}"
        self.state.issuer = self.origin
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def endpoints(self) -> Mapping[str, str]:
        """Issuer and endpoints, as the config of ``oidc`` names them."""
        return {
            "issuer": self.origin,
            "authorizationEndpoint": f"{self.origin}/authorize",
            "tokenEndpoint": f"{self.origin}/token",
            "endSessionEndpoint": f"{self.origin}/end-session",
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
