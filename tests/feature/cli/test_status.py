"""``fluxgate status`` and ``explain`` on the screen; only the gateway behind the socket is hand-made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import anyio.from_thread
import pytest
from support.commandline import Fluxgate

from fluxgate_cli.control.models import (
    CandidateView,
    ConditionView,
    ExplainReply,
    ExplainRequest,
    GatewayView,
    NodeView,
    ObjectView,
    ProblemView,
    StatusView,
    WaitReply,
    WaitRequest,
)
from fluxgate_cli.control.server import serving
from fluxgate_cli.waiting import still_missing

REFUSED = (
    ConditionView(type="Accepted", status=True, reason="Accepted"),
    ConditionView(type="ResolvedRefs", status=False, reason="RefNotFound", message="no such thing"),
    ConditionView(type="Programmed", status=False, reason="Pending", message="not part of it"),
)
OFF = (ConditionView(type="Accepted", status=False, reason="Disabled"),)
FINE = tuple(
    ConditionView(type=each, status=True, reason=each)
    for each in ("Accepted", "ResolvedRefs", "Programmed")
)
IN_PART = (
    ConditionView(
        type="Accepted", status=True, reason="PartiallyAccepted", message="spec.async: no effect"
    ),
    *FINE[1:],
)
WAITING = (*FINE[:2], ConditionView(type="Programmed", status=False, reason="Pending"))


def an_object(name: str, conditions: tuple[ConditionView, ...], kind: str = "Route") -> ObjectView:
    return ObjectView(
        kind=kind, namespace="default", name=name, file="r.yaml", line=7, conditions=conditions
    )


def a_node(name: str, lag: str = "", *, connected: bool = True) -> NodeView:
    return NodeView(
        id=name,
        gateway="main",
        connected=connected,
        snapshot="0123456789abcdef",
        serves_newest=not lag,
        version="envoy/1.40.0",
        lag=lag,
    )


def a_status(*objects: ObjectView, nodes: tuple[NodeView, ...] = (), **more: object) -> StatusView:
    return StatusView(
        version="0.1.0",
        pid=1,
        started_at=0.0,
        config="config",
        revision=3,
        served=True,
        gateways=(GatewayView(name="main", addresses=("http://h:1",), snapshot="v", served=True),),
        nodes=nodes or (a_node("edge-1"),),
        objects=objects,
        **more,  # type: ignore[arg-type]
    )


class HandMade:
    """An instance that says what the test wants it to say."""

    def __init__(self, view: StatusView, tried: int = 0) -> None:
        self.view = view
        self.tried = tried

    def status(self) -> StatusView:
        return self.view

    async def wait(self, request: WaitRequest) -> WaitReply:
        missing = tuple(f"{node.id} ({node.lag})" for node in self.view.nodes if node.lag)
        return WaitReply(
            served=not missing,
            revision=3,
            seconds=request.timeout,
            missing=missing,
            status=self.view,
        )

    def explain(self, request: ExplainRequest) -> ExplainReply:
        near = self.tried - 1
        return ExplainReply(
            gateway="main", listener="http", method=request.method, host="h", path="/x", query="",
            credential="None", virtual_host="*", virtual_host_reason="", route="", object="",
            reason="nothing matches",
            tried=tuple(
                CandidateView(
                    route=f"route-{number}",
                    object="Route default/r",
                    condition="method" if number == near else "path",
                    reason="method is not GET" if number == near else "path is not /y",
                )
                for number in range(self.tried)
            ),
        )  # fmt: skip


Serve = Callable[[HandMade], AbstractContextManager[Path]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Serve an instance in a loop of its own, as another process would."""

    @contextmanager
    def start(instance: HandMade) -> Iterator[Path]:
        with (
            anyio.from_thread.start_blocking_portal() as portal,
            portal.wrap_async_context_manager(serving(instance, tmp_path)),
        ):
            yield tmp_path

    return start


def test_ten_thousand_objects_are_summed_up_and_those_not_fine_listed(
    fluxgate: Fluxgate, serve: Serve
) -> None:
    objects = [an_object(f"r{number}", FINE) for number in range(9_996)]
    objects += [an_object("lost", REFUSED), an_object("off", OFF), an_object("slow", WAITING)]
    objects.append(an_object("part", IN_PART))
    with serve(HandMade(a_status(*objects))) as state:
        shown = fluxgate("status", "--state-dir", state)
    assert shown.code == 0
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert "Route 10000 9996 1 1 1 1" in lines
    assert "Route default/lost yes no no r.yaml:7 RefNotFound: no such thing" in lines
    assert (
        "Route default/part yes yes yes r.yaml:7 PartiallyAccepted: spec.async: no effect" in lines
    )
    assert "Route default/slow yes yes no r.yaml:7 Pending" in lines
    assert len(lines) < 20


def test_all_lists_every_object_and_kind_only_those_of_a_kind(
    fluxgate: Fluxgate, serve: Serve
) -> None:
    view = a_status(an_object("a", FINE), an_object("k", FINE, "ApiKey"))
    with serve(HandMade(view)) as state:
        every = fluxgate("status", "--all", "--state-dir", state).out
        keys = fluxgate("status", "--all", "--kind", "apikeys", "--state-dir", state).out
        both = fluxgate("status", "--kind", "ApiKey", "--kind", "route", "--state-dir", state).out
        plain = json.loads(
            fluxgate("status", "--kind", "ApiKey", "-o", "json", "--state-dir", state).out
        )
    assert ("Route default/a" in every, "ApiKey default/k" in every) == (True, True)
    assert ("Route default/a" in keys, "ApiKey default/k" in keys) == (False, True)
    assert ("Route " in both, "ApiKey " in both) == (True, True)
    assert [each["name"] for each in plain["objects"]] == ["k"]


def test_a_kind_that_does_not_exist_is_wrong_usage(fluxgate: Fluxgate, tmp_path: Path) -> None:
    refused = fluxgate("status", "--kind", "Rote", "--state-dir", tmp_path)
    assert refused.code == 2
    assert "Known: ApiKey, Backend" in refused.err


def test_nodes_show_their_version_and_why_they_lag(fluxgate: Fluxgate, serve: Serve) -> None:
    nodes = (a_node("edge-1"), a_node("edge-2", "connected, no acknowledgement yet"))
    with serve(HandMade(a_status(nodes=nodes))) as state:
        lines = fluxgate("status", "--state-dir", state).out.splitlines()
    told = [" ".join(line.split()) for line in lines if line.startswith("edge-")]
    assert told == [
        "edge-1 envoy/1.40.0 yes 0123456789ab",
        "edge-2 envoy/1.40.0 no 0123456789ab connected, no acknowledgement yet",
    ]


def test_a_problem_of_a_file_shows_line_and_column(fluxgate: Fluxgate, serve: Serve) -> None:
    problem = ProblemView(file="a.yaml", line=3, column=5, subject="Route default/a", message="no")
    with serve(HandMade(a_status(problems=(problem,)))) as state:
        shown = fluxgate("status", "--state-dir", state).out
    assert "a.yaml:3:5  Route default/a: no" in shown


def test_a_wait_that_ends_too_early_is_four_and_names_the_lagging_nodes(
    fluxgate: Fluxgate, serve: Serve
) -> None:
    nodes = (a_node("edge-1"), a_node("edge-2", "acknowledged, but 1 of 2 workers do not answer"))
    with serve(HandMade(a_status(nodes=nodes))) as state:
        refused = fluxgate("status", "--wait", "--timeout", "0.1", "--state-dir", state)
    assert refused.code == 4
    assert "edge-2 (acknowledged, but 1 of 2 workers do not answer)" in refused.err
    assert "edge-1" not in refused.err


def test_progress_says_how_many_nodes_serve_it_and_why_one_does_not() -> None:
    nodes = (a_node("a"), a_node("b", "no acknowledgement yet"), a_node("c", connected=False))
    assert still_missing(a_status(nodes=nodes)) == (
        "1 of 2 nodes serve it; b: no acknowledgement yet"
    )
    assert still_missing(a_status(nodes=(a_node("c", connected=False),))) == (
        "no node is connected yet"
    )


def test_explain_keeps_ten_thousand_candidates_to_one_screen(
    fluxgate: Fluxgate, serve: Serve
) -> None:
    with serve(HandMade(a_status(), tried=10_000)) as state:
        short = fluxgate("explain", "GET", "/x", "--state-dir", state).out.splitlines()
        every = fluxgate("explain", "GET", "/x", "--all", "--state-dir", state).out.splitlines()
        plain = json.loads(fluxgate("explain", "GET", "/x", "-o", "json", "--state-dir", state).out)
    assert short[-1] == "and 9,980 more; --all shows them"
    assert short[-2].split() == ["route-9999", "method", "is", "not", "GET"], "the nearest miss"
    assert len(short) < 40
    assert len(every) > 10_000
    assert len(plain["tried"]) == 10_000
