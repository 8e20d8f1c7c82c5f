"""``fluxgate status``: what a running instance serves, and what it could not use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.text import Text

from fluxgate_cli import options
from fluxgate_cli.control import client
from fluxgate_cli.control.models import ObjectView, StatusView, WaitReply, WaitRequest
from fluxgate_cli.errors import NotReadyError
from fluxgate_cli.output import OutputFormat, print_data, print_json, print_table, say, truth


def status(
    state_dir: options.StateDir = options.DEFAULT_STATE,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="Return when every node has proven that it serves the newest files."
        ),
    ] = False,
    timeout: options.Timeout = 30.0,
    output: options.Output = OutputFormat.TABLE,
) -> None:
    """Show what a running instance serves."""
    if not wait:
        _print(client.status(state_dir), output)
        return
    reply = client.wait(state_dir, WaitRequest(timeout=timeout))
    _print(reply.status, output)
    if not reply.served:
        raise NotReadyError(_missing(reply), "See the conditions above, or wait longer: --timeout.")
    say(f"served everywhere after {reply.seconds:.3f} s")


def _missing(reply: WaitReply) -> str:
    nodes = ", ".join(reply.missing) or "no node is connected"
    return (
        f"revision {reply.revision} is not served everywhere after {reply.seconds:.1f} s: {nodes}"
    )


def _print(view: StatusView, output: OutputFormat) -> None:
    if output is OutputFormat.JSON:
        print_json(view)
        return
    print_table(("GATEWAY", "SERVED", "ADDRESSES", "ENVOY"), _gateways(view))
    print_data("")
    print_table(("OBJECT", "ACCEPTED", "RESOLVED", "PROGRAMMED", "MESSAGE"), _objects(view.objects))
    if view.failure:
        say(f"the newest resources could not be built, the last good ones stay: {view.failure}")
    if view.problems:
        print_data("")
        print_table(
            ("FILE", "LINE", "PROBLEM"),
            (
                (each.file, str(each.line or ""), f"{each.subject}: {each.message}".lstrip(": "))
                for each in view.problems
            ),
        )


def _gateways(view: StatusView) -> Iterable[tuple[str | Text, ...]]:
    for gateway in view.gateways:
        envoy = " ".join(
            part
            for part in (
                gateway.envoy_state,
                f"pid {gateway.envoy_pid}" if gateway.envoy_pid else "",
                f"{gateway.envoy_restarts} restarts" if gateway.envoy_restarts else "",
            )
            if part
        )
        yield gateway.name, truth(gateway.served), " ".join(gateway.addresses), envoy


def _objects(objects: Iterable[ObjectView]) -> Iterable[tuple[str | Text, ...]]:
    for view in objects:
        found = {each.type: each for each in view.conditions}
        columns = [
            truth(found[kind].status) if kind in found else Text("-", style="dim")
            for kind in ("Accepted", "ResolvedRefs", "Programmed")
        ]
        said = "; ".join(
            f"{each.reason}: {each.message}" if each.message else each.reason
            for each in view.conditions
            if not each.status
        )
        yield f"{view.kind} {view.namespace}/{view.name}", *columns, said
