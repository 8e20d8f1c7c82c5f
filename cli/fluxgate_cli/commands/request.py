"""``fluxgate request``: one request to the admin API, signed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from fluxgate_cli import options
from fluxgate_cli.errors import ExitCode, UsageError
from fluxgate_cli.output import print_data, say

if TYPE_CHECKING:
    import httpx

    from fluxgate_cli.admin_client.transport import Call, Transport


def request(
    method: Annotated[str, typer.Argument(help="The method, for example POST.")],
    path: Annotated[
        str, typer.Argument(help="The path and query, for example '/v2/routes?limit=5'.")
    ],
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", help="The body; @FILE reads a file, - standard input."),
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="A header: 'name: value'.")
    ] = None,
    include: Annotated[
        bool, typer.Option("--include", "-i", help="Print status and headers, too.")
    ] = False,
    explain_signature: Annotated[
        bool,
        typer.Option(
            "--explain-signature", help="Print what would be signed and sent; send nothing."
        ),
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry/--no-retry", help="Wait for limits, and try again.")
    ] = True,
    api: options.Api = None,
) -> None:
    """Sign a request to the admin API, send it, and print the answer.

    The exit code tells the status: 0 up to 399, 3 what cannot be taken (400, 413, 422), 4 a limit (429),
    5 no answer (502 to 504), 7 other refusals.

    \b
    Examples:
      fluxgate request GET /v2/routes
      fluxgate request POST /v2/routes --data @route.json -i
      fluxgate request DELETE /v2/routes/rt_9x4m2p1q --explain-signature
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    # 0.1 s that commands without the API need not wait for
    from fluxgate_cli.admin_client.choosing import chosen_context  # noqa: PLC0415
    from fluxgate_cli.admin_client.transport import (  # noqa: PLC0415
        PATIENCE_SECONDS,
        Call,
        Transport,
    )

    if not path.startswith("/") or urlsplit(path).scheme or path.startswith("//"):
        raise UsageError(f"the path {path!r} does not begin with one slash")
    call = Call(method.upper(), path, _body(data), _headers(header or []))
    context = chosen_context(api)
    with Transport(context, patience=PATIENCE_SECONDS if retry else 0.0, tell=say) as transport:
        if explain_signature:
            _explain(transport, call)
            return
        response = transport.send(call)
        _print(response, include=include)
    if response.status_code >= 400:
        raise typer.Exit(_code(response, transport.skew))


def _code(response: httpx.Response, skew: float) -> ExitCode:
    from fluxgate_cli.admin_client.errors import error_of  # noqa: PLC0415 - as above

    return error_of(response, skew).exit_code


def _body(data: str | None) -> bytes:
    if data is None:
        return b""
    if data == "-":
        return sys.stdin.buffer.read()
    if not data.startswith("@"):
        return data.encode()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise UsageError(f"the body {data[1:]} cannot be read: {error.strerror}") from None


def _headers(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise UsageError(f"the header {line!r} is not 'name: value'")
        found[name.strip()] = value.strip()
    return found


def _print(response: httpx.Response, *, include: bool) -> None:
    if include:
        print_data(f"{response.http_version} {response.status_code} {response.reason_phrase}")
        for name, value in response.headers.items():
            print_data(f"{name}: {value}")
        print_data("")
    if response.content:
        print_data(_shown(response))


def _shown(response: httpx.Response) -> str:
    """JSON indented, anything else as it came."""
    try:
        return json.dumps(response.json(), indent=2, ensure_ascii=False)
    except ValueError:
        return response.text


def _explain(transport: Transport, call: Call) -> None:
    """Everything but the secrets: what is signed, line by line, and the three headers."""
    from fluxgate_admin.auth.signature import (  # noqa: PLC0415 - as above
        NONCE_HEADER,
        TIMESTAMP_HEADER,
        signed_text,
    )

    sent, content, signature = transport.request_of(call)
    print_data(f"{sent.method} {sent.url}")
    if not signature:
        say("not signed: a read, or no signing secret in the context")
        return
    text = signed_text(content, signature[TIMESTAMP_HEADER], signature[NONCE_HEADER])
    names = ("version", "method", "path", "query", "body (SHA-256)", "timestamp", "nonce")
    print_data("")
    print_data("HMAC-SHA256 with the signing secret over these lines, joined by line feeds:")
    for name, line in zip(names, text.split("\n"), strict=True):
        print_data(f"  {line:<64}  {name}".rstrip())
    print_data("")
    for name, value in signature.items():
        print_data(f"{name}: {value}")
