"""Requests that are made again: when, how often, and never so that something happens twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fluxgate.secret import SecretBytes
from fluxgate_admin.auth.signature import SignedContent, genuine, read_signature
from fluxgate_cli.admin_client.contexts import Context
from fluxgate_cli.admin_client.secrets import SecretSource
from fluxgate_cli.admin_client.transport import Call, Transport
from fluxgate_cli.errors import NotRunningError, RefusedError

SECRET = "fss_" + "s" * 43
Answer = tuple[int, dict[str, str]]
BREAK: Answer = (0, {})
"""Instead of an answer the connection ends."""


@dataclass(slots=True)
class Seen:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Script:
    """What the server answers, in order; 200 once there is no more."""

    answers: list[Answer]
    url: str = ""
    seen: list[Seen] = field(default_factory=list)


@contextmanager
def playing(*answers: Answer) -> Iterator[Script]:
    script = Script(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.seen.append(Seen(self.command, self.path, headers, body))
            status, extra = script.answers.pop(0) if script.answers else (200, {})
            if status == 0:
                self.connection.close()
                return
            text = b'{"access_token": "issued"}' if self.path == "/oauth/token" else b"{}"
            self.send_response(status)
            for name, value in {**extra, "content-length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - the names http.server calls

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def context(url: str) -> Context:
    return Context(
        server=url, key=SecretSource(value="sk_live_x"), signing_secret=SecretSource(value=SECRET)
    )


@dataclass(slots=True)
class Sent:
    status: int
    pauses: list[float]
    said: list[str]


def send(script: Script, call: Call, **options: float) -> Sent:
    pauses: list[float] = []
    said: list[str] = []
    given = {"patience": 60.0, **options}
    with Transport(
        context(script.url), tell=said.append, pause=pauses.append, **given
    ) as transport:
        return Sent(transport.send(call).status_code, pauses, said)


WRITE = Call("POST", "/v2/x?b=2&a=%2F", b'{"a": 1}')
KEYED = Call("POST", "/v2/x", b"{}", {"Idempotency-Key": "k"})


def test_a_used_up_limit_is_waited_for_as_long_as_the_server_says() -> None:
    with playing((429, {"retry-after": "7"}), (429, {"retry-after": "1"})) as script:
        sent = send(script, WRITE)
    assert (sent.status, sent.pauses) == (200, [7.0, 1.0])
    assert "limit" in sent.said[0]


def test_a_limit_that_lasts_longer_than_patience_is_told_at_once() -> None:
    with playing((429, {"retry-after": "61"})) as script:
        sent = send(script, WRITE)
    assert (sent.status, sent.pauses) == (429, [])


@pytest.mark.parametrize("call", [Call("GET", "/v2/x"), KEYED])
def test_after_a_503_or_a_broken_connection_what_is_repeatable_is_made_again(call: Call) -> None:
    with playing((503, {}), BREAK, (503, {"retry-after": "2"})) as script:
        sent = send(script, call)
    assert (sent.status, sent.pauses) == (200, [0.5, 1.0, 2.0])


def test_a_write_without_a_key_is_made_once() -> None:
    with playing((503, {})) as script:
        assert send(script, WRITE).status == 503
        assert len(script.seen) == 1
    with playing(BREAK) as script:
        with pytest.raises(NotRunningError):
            send(script, WRITE)
        assert len(script.seen) == 1


def test_every_attempt_is_signed_anew_over_what_is_on_the_wire() -> None:
    with playing((429, {"retry-after": "1"})) as script:
        send(script, WRITE)
    signatures = [read_signature(each.headers.items()) for each in script.seen]
    path, _, query = script.seen[0].target.partition("?")
    content = SignedContent("POST", path, query, script.seen[0].body)
    for each in signatures:
        assert each is not None
        assert genuine(SecretBytes(SECRET.encode()), content, each)
    assert len({each.nonce for each in signatures if each is not None}) == 2


def test_reads_are_not_signed() -> None:
    with playing() as script:
        send(script, Call("GET", "/v2/x"))
    assert read_signature(script.seen[0].headers.items()) is None
    assert script.seen[0].headers["x-fluxgate-key"] == "sk_live_x"


def test_an_api_that_is_not_there_is_told_by_its_address() -> None:
    with playing() as script:
        url = script.url
    with Transport(context(url)) as transport, pytest.raises(NotRunningError, match=url):
        transport.send(Call("GET", "/"))


def test_a_client_gets_one_token_for_all_its_requests_and_never_shows_the_secret() -> None:
    with playing() as script:
        client = Context(
            server=script.url, client_id="ci", client_secret=SecretSource(value="fcs_canary")
        )
        with Transport(client) as transport:
            transport.send(Call("GET", "/a"))
            transport.send(Call("GET", "/b"))
    assert [each.target for each in script.seen] == ["/oauth/token", "/a", "/b"]
    assert script.seen[2].headers["authorization"] == "Bearer issued"
    with playing((401, {})) as script:
        refused = client.model_copy(update={"server": script.url})
        with Transport(refused) as transport, pytest.raises(RefusedError) as error:
            transport.send(Call("GET", "/a"))
    assert "fcs_canary" not in str(error.value)


def test_a_file_of_certificates_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(Exception, match=r"ca\.pem"):
        Transport(Context(server="https://x.example.com", ca_file=tmp_path / "ca.pem"))
