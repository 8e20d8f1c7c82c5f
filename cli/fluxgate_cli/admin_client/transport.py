"""Requests to the admin API: signed or with a token, and repeated where that changes nothing twice."""

from __future__ import annotations

import email.utils
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx

from fluxgate.secret import SecretBytes
from fluxgate_admin.auth.signature import SignedContent, sign
from fluxgate_cli.admin_client.contexts import Context
from fluxgate_cli.errors import NotRunningError, RefusedError, UsageError

ANSWER_SECONDS = 30.0
"""Seconds an answer may take, on top of what a write was asked to wait."""
PATIENCE_SECONDS = 180.0
"""Seconds that retries of one request may take together: three windows of the API's limits."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
SAFE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``path`` begins with a slash and may hold a query; ``seconds`` is what it may wait."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def repeatable(self) -> bool:
        """Whether making it twice does no more than making it once."""
        names = {name.lower() for name in self.headers}
        return self.method.upper() in SAFE or "idempotency-key" in names


class Transport:
    """One connection to the API of a context. Use as a context manager.

    ``tell`` hears why it waits; ``pause`` sleeps. With ``patience`` 0 nothing is repeated.
    """

    def __init__(
        self,
        context: Context,
        *,
        patience: float = PATIENCE_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        tell: Callable[[str], None] = lambda _: None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._context = context
        self._patience = patience
        self._seconds = answer_seconds
        self._tell = tell
        self._pause = pause
        self._token = ""
        self.skew = 0.0
        """Seconds this clock is ahead of the server's, by the newest answer."""
        self._http = httpx.Client(
            base_url=context.server.rstrip("/"),
            verify=_tls(context),
            timeout=answer_seconds,
            headers={"user-agent": "fluxgate-cli", "accept": "application/json"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def send(self, call: Call) -> httpx.Response:
        """The answer, whatever its status. Raises :class:`NotRunningError` when there is none.

        A limit that is used up is waited for (``Retry-After``) for any request: it was not carried out. After
        a 503, or a connection that broke, only what is repeatable is made again.
        """
        deadline = time.monotonic() + self._patience
        waiting = _FIRST_PAUSE
        while True:
            try:
                response = self._once(call)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                if not call.repeatable or time.monotonic() + waiting > deadline:
                    raise self._no_answer(error) from None
                seconds, why = waiting, "the connection broke"
            else:
                again = _pause_of(call, response, waiting)
                if again is None or time.monotonic() + again > deadline:
                    return response
                seconds, why = again, _why(response)
            self._tell(f"{why}: trying again in {seconds:.0f} s")
            self._pause(seconds)
            waiting = min(waiting * 2, _LONGEST_PAUSE)

    def request_of(self, call: Call) -> tuple[httpx.Request, SignedContent, Mapping[str, str]]:
        """The request as it would go out now, what is signed, and the headers of the signature."""
        request = self._http.build_request(
            call.method,
            call.path,
            content=call.body or None,
            headers=self._headers(call),
            timeout=httpx.Timeout(self._seconds, read=self._seconds + call.seconds),
        )
        path, _, query = request.url.raw_path.decode("ascii").partition("?")
        content = SignedContent(request.method, path, query, call.body)
        signature = self._signature(content)
        request.headers.update(signature)
        return request, content, signature

    def _once(self, call: Call) -> httpx.Response:
        self._authorise()
        request, _, _ = self.request_of(call)
        try:
            response = self._http.send(request)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            raise
        except httpx.HTTPError as error:
            raise self._no_answer(error) from None
        self._compare_clocks(response)
        return response

    def _no_answer(self, error: httpx.HTTPError) -> NotRunningError:
        reason = str(error) or type(error).__name__
        remedy = "Is it running, and is the context right? See 'fluxgate context list'."
        return NotRunningError(
            f"the admin API at {self._context.server} does not answer: {reason}", remedy
        )

    def _headers(self, call: Call) -> dict[str, str]:
        headers = {"content-type": "application/json"} if call.body else {}
        context = self._context
        if context.key is not None:
            headers["x-fluxgate-key"] = context.key.read("key")
        elif self._token:
            headers["authorization"] = f"Bearer {self._token}"
        return {**headers, **{name.lower(): value for name, value in call.headers.items()}}

    def _signature(self, content: SignedContent) -> dict[str, str]:
        secret = self._context.signing_secret
        if secret is None or content.method in SAFE:
            return {}
        key = SecretBytes(secret.read("signing secret").encode())
        return sign(key, content, int(time.time()), secrets.token_urlsafe(24)).headers()

    def _authorise(self) -> None:
        """Read the token, or get one for the secret of a client, once."""
        context = self._context
        if self._token or context.key is not None:
            return
        if context.token is not None:
            self._token = context.token.read("token")
        elif context.client_id is not None and context.client_secret is not None:
            self._token = self._issued(
                context.client_id, context.client_secret.read("client secret")
            )

    def _issued(self, client_id: str, secret: str) -> str:
        try:
            response = self._http.post(
                "/oauth/token",
                data={
                    "grant_type": "client_credentials",
                    "client_id": client_id,
                    "client_secret": secret,
                },
            )
        except httpx.HTTPError as error:
            raise self._no_answer(error) from None
        token = response.json().get("access_token") if response.status_code == 200 else None
        if not isinstance(token, str):
            raise RefusedError(
                f"the admin API issues no token to client {client_id}",
                "Are its id and its secret right?",
                status=response.status_code,
            )
        return token

    def _compare_clocks(self, response: httpx.Response) -> None:
        try:
            theirs = email.utils.parsedate_to_datetime(response.headers["date"]).timestamp()
        except (KeyError, ValueError):
            return
        self.skew = time.time() - theirs


def _tls(context: Context) -> ssl.SSLContext | bool:
    if context.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(context.ca_file.expanduser()))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"the CA file {context.ca_file} cannot be used: {error}") from None


def _pause_of(call: Call, response: httpx.Response, waiting: float) -> float | None:
    """Seconds to wait before the request is made again; None when its answer counts."""
    if response.status_code == 429 or (response.status_code == 503 and call.repeatable):
        return _retry_after(response) or waiting
    if (
        response.status_code == 409
        and call.repeatable
        and b"idempotency_key_in_use" in response.content
    ):
        return waiting
    return None


def _why(response: httpx.Response) -> str:
    words = {429: "the API's limit is used up", 409: "the same request is being worked on"}
    return words.get(response.status_code, "the API is not available")


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdigit() else None
