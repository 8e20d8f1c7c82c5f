"""``fluxgate status``: what a running instance serves, and what it could not use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from rich.text import Text

from fluxgate.api.v1alpha1 import KINDS
from fluxgate_cli import options
from fluxgate_cli.admin_client.views import status_by_api, waited_by_api
from fluxgate_cli.control import client
from fluxgate_cli.control.models import GatewayView, NodeView, StatusView, WaitReply, WaitRequest
from fluxgate_cli.errors import NotReadyError, UsageError
from fluxgate_cli.output import OutputFormat, print_data, print_json, print_table, say, truth
from fluxgate_cli.verdict import COLUMNS, NOT_FINE, SUMMARY_COLUMNS, rows, summary, verdict
from fluxgate_cli.waiting import progress

SHORT_VERSION = 12
"""Characters of a content hash that tell versions apart on a screen."""


def status(
    state_dir: options.StateDir = options.DEFAULT_STATE,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="Return when every node has proven that it serves the newest files."
        ),
    ] = False,
    timeout: options.Timeout = 30.0,
    show_all: Annotated[
        bool, typer.Option("--all", help="List every object, not only those that are not fine.")
    ] = False,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only objects of this kind; repeatable.")
    ] = None,
    api: options.OptionalApi = None,
    output: options.Output = OutputFormat.TABLE,
) -> None:
    """Show what a running instance serves, and what it could not use.

    \b
    Examples:
      fluxgate status                       what runs, and what is not fine
      fluxgate status --all --kind route    every Route
      fluxgate status --wait --timeout 60   return when the files are served
      fluxgate status -o json               everything, for a program
      fluxgate status --api prod            by the admin API of a context
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    kinds = _kinds(kind or ())
    if not wait:
        view = client.status(state_dir) if api is None else status_by_api(api)
        _print(view, output, kinds, show_all=show_all)
        return
    if api is not None:
        reply = waited_by_api(api, timeout)
    else:
        with progress(state_dir, timeout):
            reply = client.wait(state_dir, WaitRequest(timeout=timeout))
    _print(reply.status, output, kinds, show_all=show_all)
    if not reply.served:
        raise NotReadyError(_missing(reply), "See the lag above, or wait longer: --timeout.")
    say(f"served everywhere after {reply.seconds:.3f} s")


def _kinds(names: Sequence[str]) -> frozenset[str]:
    """The kinds asked for by name, plural or short name, in any case; empty means every kind."""
    known = {
        word.lower(): kind.__name__
        for kind in KINDS
        for word in (kind.__name__, kind.plural, *kind.short_names)
    } | {"secret": "Secret", "secrets": "Secret"}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise UsageError(
            f"there is no kind {unknown[0]!r}",
            f"Known: {', '.join(sorted(set(known.values())))}.",
        )
    return frozenset(known[name.lower()] for name in names)


def _missing(reply: WaitReply) -> str:
    nodes = ", ".join(reply.missing) or "no node is connected"
    what = f"revision {reply.revision}" if reply.revision else "the newest configuration"
    return f"{what} is not served everywhere after {reply.seconds:.1f} s: {nodes}"


def _print(
    view: StatusView, output: OutputFormat, kinds: frozenset[str], *, show_all: bool
) -> None:
    chosen = tuple(each for each in view.objects if not kinds or each.kind in kinds)
    if output is OutputFormat.JSON:
        print_json(view.model_copy(update={"objects": chosen}))
        return
    print_table(("GATEWAY", "SERVED", "ADDRESSES", "ENVOY"), map(_gateway, view.gateways))
    _section(("NODE", "ENVOY", "SERVES NEWEST", "ACKNOWLEDGED", "LAG"), map(_node, view.nodes))
    _section(SUMMARY_COLUMNS, summary(chosen))
    listed = [each for each in chosen if show_all or verdict(each) in NOT_FINE]
    _section(COLUMNS, rows(listed))
    _section(
        ("FILE", "PROBLEM"),
        (
            (
                f"{each.file}:{each.line}:{each.column}" if each.line else each.file,
                f"{each.subject}: {each.message}".lstrip(": "),
            )
            for each in view.problems
        ),
    )
    if view.failure:
        say(f"the newest resources could not be built, the last good ones stay: {view.failure}")


def _section(columns: Sequence[str], lines: Iterable[Sequence[str | Text]]) -> None:
    """A table after an empty line; nothing when it has no rows."""
    found = list(lines)
    if found:
        print_data("")
        print_table(columns, found)


def _gateway(gateway: GatewayView) -> tuple[str | Text, ...]:
    parts = (
        gateway.envoy_state,
        f"pid {gateway.envoy_pid}" if gateway.envoy_pid else "",
        f"{gateway.envoy_restarts} restarts" if gateway.envoy_restarts else "",
    )
    envoy = ", ".join(filter(None, parts))
    return gateway.name, truth(gateway.served), " ".join(gateway.addresses), envoy


def _node(node: NodeView) -> tuple[str | Text, ...]:
    lag = "; ".join(filter(None, (node.lag, *node.rejections)))
    version = node.snapshot[:SHORT_VERSION] or "nothing yet"
    return node.id, node.version or "-", truth(node.serves_newest), version, lag
