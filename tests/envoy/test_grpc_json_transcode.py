"""``grpc-json-transcode``: JSON clients, a real gRPC service, the real Envoy."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from support.callers import api_key, by_key
from support.documents import CLOSED, Document, Documents, gateway, obj, route, secret
from support.library import SERVICE, Library, descriptor_set

from fluxgate.status import Reason

pytestmark = pytest.mark.envoy
JSON = ("content-type", "application/json")


def transcoded(**config: Any) -> Document:
    inline = {"inline": base64.b64encode(descriptor_set()).decode()}
    return {"grpc-json-transcode": {"descriptorSet": inline, "services": [SERVICE], **config}}


@pytest.fixture(scope="module")
def library() -> Iterator[Library]:
    with Library() as running:
        yield running


@pytest.fixture(scope="module")
def served(library: Library) -> Iterator[Documents]:
    backend = {"backends": [{"name": "library"}]}

    def at(name: str, plugin: Document, **spec: Any) -> Document:
        return route(name, 9, plugin, **{**backend, **spec})

    from_secret = {"secretRef": {"name": "library"}}
    documents = (
        gateway(),
        obj(
            "Backend",
            "library",
            {"url": f"http://127.0.0.1:{library.port}", "protocol": "GRPC"},
        ),
        api_key("caller"),
        secret("library", {"descriptors.pb": descriptor_set(), "other": b"\xff\xff"}),
        at("plain", transcoded(), path="/shelves"),
        at(
            "keyed",
            transcoded(descriptorSet=from_secret),
            path="/shelves/locked",
            auth={"mode": "Required"},
        ),
        at("lenient", transcoded(ignoreUnknownQueryParameters=True), path="/shelves/lenient"),
        at(
            "full",
            transcoded(
                printOptions={
                    "alwaysPrintPrimitiveFields": True,
                    "preserveProtoFieldNames": True,
                }
            ),
            path="/shelves/full",
        ),
        at("small", transcoded(maxRequestBodyBytes=64), path="/shelves/small"),
        at("auto", transcoded(autoMapping=True), path=f"/{SERVICE}", hosts=["auto.example.com"]),
        at("unknown", transcoded(services=["example.v1.Archive"])),
        at("no-set", transcoded(descriptorSet={"inline": base64.b64encode(b"\xff\xff").decode()})),
        at("no-base64", transcoded(descriptorSet={"inline": "%"})),
        at("no-secret", transcoded(descriptorSet={"secretRef": {"name": "nowhere"}})),
    )
    with Documents(*documents) as running:
        yield running


def test_a_get_becomes_a_call_and_its_answer_json(served: Documents) -> None:
    answer = served.get("/shelves/a/books/b")
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert answer.json() == {"name": "b", "shelf": "a", "pageCount": 7}


def test_a_body_becomes_the_message(served: Documents) -> None:
    body = json.dumps({"name": "new", "pageCount": 3}).encode()
    answer = served.get("/shelves/a/books", [JSON], method="POST", body=body)
    assert answer.json() == {"name": "new", "shelf": "a", "pageCount": 3}


def test_a_stream_becomes_a_list(served: Documents) -> None:
    assert [each["name"] for each in served.get("/shelves/a/books").json()] == ["first", "second"]


def test_print_options_say_how_answers_are_written(served: Documents) -> None:
    answer = served.get("/shelves/full/books").json()[0]
    assert answer == {"name": "first", "shelf": "full", "page_count": 0}


def test_methods_without_an_annotation_are_mapped_by_their_names(served: Documents) -> None:
    body = json.dumps({"name": "b"}).encode()
    headers = [JSON, ("host", "auto.example.com")]
    answer = served.get(f"/{SERVICE}/FindBook", headers, method="POST", body=body)
    assert answer.json() == {"name": "b", "shelf": "found"}


def test_the_status_of_the_service_becomes_that_of_http(served: Documents) -> None:
    answer = served.get("/shelves/a/books/none")
    assert answer.status == 404
    assert answer.json()["message"] == "there is no such book"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/shelves/a/books/b?wrong=1", 400), ("/shelves/lenient/books/b?wrong=1", 200)],
)
def test_unknown_query_parameters_are_refused_unless_ignored(
    served: Documents, path: str, status: int
) -> None:
    assert served.get(path).status == status


def test_json_that_does_not_fit_the_message_is_refused(served: Documents, library: Library) -> None:
    before = library.calls
    body = b'{"pageCount": "many"}'
    assert served.get("/shelves/a/books", [JSON], method="POST", body=body).status == 400
    assert library.calls == before


def test_a_request_that_is_too_large_is_refused(served: Documents, library: Library) -> None:
    before = library.calls
    body = json.dumps({"name": "x" * 200}).encode()
    assert served.get("/shelves/small/books", [JSON], method="POST", body=body).status == 413
    assert library.calls == before


def test_a_request_stays_on_its_route_and_is_asked_for_its_key(
    served: Documents, library: Library
) -> None:
    before = library.calls
    refused = served.get("/shelves/locked/books/b")
    assert (refused.status, refused.json()["error"]) == (401, "unauthorized")
    assert library.calls == before
    assert served.get("/shelves/locked/books/b", by_key("caller")).json()["shelf"] == "locked"


def test_grpc_itself_passes(served: Documents, library: Library) -> None:
    request = library.messages.GetBookRequest(shelf="a", name="b")
    options = [("grpc.default_authority", "auto.example.com")]
    with grpc.insecure_channel(f"127.0.0.1:{served.port}", options) as channel:
        call = channel.unary_unary(
            f"/{SERVICE}/GetBook",
            request_serializer=library.messages.GetBookRequest.SerializeToString,
            response_deserializer=library.messages.Book.FromString,
        )
        assert call(request, timeout=60).page_count == 7


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unknown", "config.services[0]: there is no service 'example.v1.Archive'"),
        ("no-set", "config.descriptorSet: is no FileDescriptorSet"),
        ("no-base64", "config.descriptorSet.inline: is not base64"),
    ],
)
def test_a_malformed_config_is_named_and_closes_the_route(
    served: Documents, name: str, words: str
) -> None:
    assert words in served.condition("Route", name).message
    assert served.get(f"/{name}").status == CLOSED


def test_a_secret_that_is_not_there_closes_the_route(served: Documents) -> None:
    condition = served.condition("Route", "no-secret", "ResolvedRefs")
    assert condition.reason is Reason.REF_NOT_FOUND
