"""An upstream that answers every request with the request it got, as JSON.

Stand-alone: ``python examples/quickstart/echo.py --port 18080``. It prints
``listening: 127.0.0.1:PORT`` when it answers, and with ``--until-eof`` it ends
with its standard input, so that it never outlives whoever started it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


async def echo(request: Request) -> Response:
    """The request as JSON; repeated headers are joined by commas (RFC 9110, section 5.2)."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    body = (await request.body()).decode(errors="replace")
    seen = {
        "method": request.method,
        "path": request.url.path,
        "query": request.url.query,
        "headers": headers,
        "body": body,
    }
    return Response(json.dumps(seen, indent=2) + "\n", media_type="application/json")


def create_app() -> Starlette:
    """The application: every path and method is an echo."""
    return Starlette(routes=[Route("/{path:path}", echo, methods=METHODS)])


def listen(port: int) -> socket.socket:
    """A listening socket on the loopback; a free port when ``port`` is taken or 0."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.bind(("127.0.0.1", 0))
    sock.listen(1024)
    return sock


async def serve(port: int, *, until_eof: bool) -> None:
    """Serve until a signal, or until standard input ends."""
    sock = listen(port)
    config = uvicorn.Config(create_app(), access_log=False, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    print(f"listening: 127.0.0.1:{sock.getsockname()[1]}", flush=True)
    if until_eof:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
        watch = asyncio.create_task(reader.read())
        watch.add_done_callback(lambda _: setattr(server, "should_exit", True))
    await server.serve(sockets=[sock])


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=18080, help="0 picks a free one")
    parser.add_argument("--until-eof", action="store_true", help="end with standard input")
    options = parser.parse_args()
    asyncio.run(serve(options.port, until_eof=options.until_eof))


if __name__ == "__main__":
    main()
