"""``fluxgate explain``: which route a request would take, and why, without sending it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from fluxgate_cli import options
from fluxgate_cli.admin_client.views import explained_by_api
from fluxgate_cli.control import client
from fluxgate_cli.control.models import CandidateView, ExplainReply, ExplainRequest, PolicyView
from fluxgate_cli.errors import InvalidResourcesError, UsageError
from fluxgate_cli.folder import load_folder
from fluxgate_cli.output import OutputFormat, print_data, print_json, print_table, say

if TYPE_CHECKING:
    from fluxgate.ir import Gateway

SHOWN = 20
"""Candidates that are printed without ``--all``: one screen."""


def explain(
    method: Annotated[str, typer.Argument(help="The request's method, for example GET.")],
    url: Annotated[str, typer.Argument(help="An absolute URL, or a path for any host.")],
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="A header: 'name: value'.")
    ] = None,
    config: options.OptionalConfigDir = None,
    gateway: Annotated[
        str | None,
        typer.Option(
            "--gateway", help="With --config or --api: the GatewayConfig; by default the first."
        ),
    ] = None,
    state_dir: options.StateDir = options.DEFAULT_STATE,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show every route that was tried before, not the nearest.")
    ] = False,
    api: options.OptionalApi = None,
    output: options.Output = OutputFormat.TABLE,
) -> None:
    """Say which route a request would take, and why each earlier one lost.

    \b
    Examples:
      fluxgate explain GET /orders/7
      fluxgate explain POST http://api.example.com/orders -H 'apikey: flx_live_x'
      fluxgate explain GET /orders --config config/    without a running instance
      fluxgate explain GET /orders --api prod          by the admin API of a context
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    # the routing it stands on is nothing that other commands need
    from fluxgate_cli.explaining import explain_request  # noqa: PLC0415

    request = _request(method, url, header or [])
    if api is not None:
        reply = explained_by_api(request, api, gateway)
    elif config is None:
        reply = client.explain(state_dir, request)
    else:
        reply = explain_request(_gateway_of(config, gateway), request)
    if output is OutputFormat.JSON:
        print_json(reply)
    else:
        _print(reply, show_all=show_all)


def _request(method: str, url: str, headers: list[str]) -> ExplainRequest:
    fields = []
    for line in headers:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise UsageError(f"the header {line!r} is not 'name: value'")
        fields.append((name.strip(), value.strip()))
    try:
        return ExplainRequest(method=method.upper(), url=url, headers=tuple(fields))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _gateway_of(config: Path, name: str | None) -> Gateway:
    # 0.2 s to import, which every other command would wait for
    from fluxgate.translator import translate  # noqa: PLC0415

    folder = load_folder(config)
    if folder.problems:
        say(f"{len(folder.problems)} problems in {config}; see 'fluxgate validate {config}'")
    gateways = translate(folder.resources).gateways
    if name is not None:
        found = gateways.get(name.removeprefix("default/"))
        if found is None:
            known = ", ".join(sorted(gateways)) or "none"
            raise UsageError(
                f"there is no GatewayConfig {name!r} in {config}", f"There is: {known}."
            )
        return found
    if not gateways:
        raise InvalidResourcesError(
            f"{config} holds no GatewayConfig that can be served",
            f"See 'fluxgate validate {config}'.",
        )
    return gateways[min(gateways)]


def _print(reply: ExplainReply, *, show_all: bool) -> None:
    query = f"?{reply.query}" if reply.query else ""
    print_data(f"{reply.method} {reply.host}{reply.path}{query}")
    rows = [
        ("gateway", f"{reply.gateway}, listener {reply.listener}"),
        ("virtual host", f"{reply.virtual_host or '-'}  {reply.virtual_host_reason}".rstrip()),
        ("credential", reply.credential or "-"),
        ("route", reply.route or "none"),
        ("object", reply.object or "-"),
        ("because", reply.reason),
        ("then", reply.action or "-"),
        ("policies", ", ".join(reply.policies) or "-"),
    ]
    print_table(("", ""), [(f"  {name}", text) for name, text in rows])
    if reply.chain:
        print_data("")
        print_table(("POLICY", "FROM"), [(each.type, _source(each)) for each in reply.chain])
    if not reply.tried:
        return
    shown = reply.tried if show_all else nearest(reply.tried)
    print_data("")
    print_table(("TRIED BEFORE", "LOST BECAUSE"), [(each.route, each.reason) for each in shown])
    if (left := len(reply.tried) - len(shown)) > 0:
        print_data(f"and {left:,} more; --all shows them")


def _source(policy: PolicyView) -> str:
    return ", continues ".join((policy.object, *policy.appended_to))


def nearest(tried: tuple[CandidateView, ...]) -> tuple[CandidateView, ...]:
    """What a person wants of many candidates: those whose path matches, then the first others."""
    ranked = sorted(enumerate(tried), key=lambda each: (each[1].condition == "path", each[0]))
    return tuple(each for _, each in sorted(ranked[:SHOWN], key=lambda each: each[0]))
