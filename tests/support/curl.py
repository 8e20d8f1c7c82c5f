"""As much of curl as the documentation uses, for machines that have none.

The documentation's examples run in a shell and say ``curl``; a machine with only git,
make and Python can still check them. ``curl_folder`` gives a folder to put on ``PATH``.
"""

from __future__ import annotations

import argparse
import http.client
import shutil
import ssl
import sys
from pathlib import Path
from urllib.parse import urlsplit

REFUSED, OPERATION_TIMEOUT, BAD_CERTIFICATE = 7, 28, 60
"""curl's exit codes for what goes wrong on the way."""


def curl_folder(place: Path) -> str:
    """A folder with a ``curl``: the machine's own one, else this module as a script."""
    if (found := shutil.which("curl")) is not None:
        return str(Path(found).parent)
    place.mkdir(parents=True, exist_ok=True)
    script = place / "curl"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" "$@"\n')
    script.chmod(0o755)
    return str(place)


def options(arguments: list[str]) -> argparse.Namespace:
    """curl's options; one that is not known here is an error."""
    parser = argparse.ArgumentParser("curl", allow_abbrev=False)
    parser.add_argument("-s", "--silent", action="store_true")
    parser.add_argument("-S", "--show-error", action="store_true")
    parser.add_argument("-i", "--include", action="store_true")
    parser.add_argument("-k", "--insecure", action="store_true")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("-X", "--request")
    parser.add_argument("-d", "--data")
    parser.add_argument("-o", "--output")
    parser.add_argument("-w", "--write-out", default="")
    parser.add_argument("--cacert")
    parser.add_argument("--max-time", type=float, default=30)
    parser.add_argument("url")
    return parser.parse_args(arguments)


def connect(given: argparse.Namespace) -> http.client.HTTPConnection:
    """A connection to the URL's host; certificates are checked unless ``-k`` says otherwise."""
    url = urlsplit(given.url)
    assert url.hostname is not None
    if url.scheme != "https":
        return http.client.HTTPConnection(url.hostname, url.port or 80, timeout=given.max_time)
    context = ssl.create_default_context(cafile=given.cacert)
    if given.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(
        url.hostname, url.port or 443, timeout=given.max_time, context=context
    )


def fetch(given: argparse.Namespace) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer and its body."""
    url = urlsplit(given.url)
    connection = connect(given)
    method = given.request or ("GET" if given.data is None else "POST")
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    fields = {"user-agent": "curl", "accept": "*/*"}
    if given.data is not None:
        fields["content-type"] = "application/x-www-form-urlencoded"
    for line in given.header:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in fields.items():
        connection.putheader(name, value)
    body = given.data.encode() if given.data is not None else None
    if body is not None:
        connection.putheader("content-length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    return response, response.read()


def main() -> int:
    """Fetch and print as curl does."""
    given = options(sys.argv[1:])
    try:
        response, body = fetch(given)
    except ssl.SSLCertVerificationError as error:
        print(f"curl: ({BAD_CERTIFICATE}) {error.verify_message}", file=sys.stderr)
        return BAD_CERTIFICATE
    except TimeoutError as error:
        print(f"curl: ({OPERATION_TIMEOUT}) {error}", file=sys.stderr)
        return OPERATION_TIMEOUT
    except OSError as error:
        print(f"curl: ({REFUSED}) {error}", file=sys.stderr)
        return REFUSED
    head = "".join(f"{name}: {value}\r\n" for name, value in response.getheaders())
    head = f"HTTP/1.1 {response.status} {response.reason}\r\n{head}\r\n" if given.include else ""
    if given.output is None:
        sys.stdout.buffer.write(head.encode() + body)
    else:
        Path(given.output).write_bytes(head.encode() + body)
    written = given.write_out.replace("%{http_code}", str(response.status)).replace("\\n", "\n")
    sys.stdout.buffer.write(written.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
