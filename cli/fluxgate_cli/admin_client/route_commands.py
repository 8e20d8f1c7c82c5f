"""``fluxgate routes list|get|create|update|delete``: routes of the admin API."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fluxgate_cli import options
from fluxgate_cli.admin_client.completion import complete_ids
from fluxgate_cli.errors import UsageError
from fluxgate_cli.output import DataFormat, print_as, truth

ROUTES = "/v2/routes"
RouteId = Annotated[
    str,
    typer.Argument(
        metavar="ROUTE",
        help="Its id (rt_…), its name, or NAMESPACE/NAME.",
        autocompletion=complete_ids(ROUTES),
        show_default=False,
    ),
]
State = Annotated[
    str | None,
    typer.Option("--status", help="Only these: active, disabled, invalid, rejected, pending."),
]


def list_(
    namespace: options.Namespace = None,
    status: State = None,
    label: Annotated[str | None, typer.Option("--label", "-l", help="Only with key=value.")] = None,
    limit: options.Limit = None,
    output: options.DataOutput = DataFormat.TABLE,
    api: options.Api = None,
) -> None:
    """List routes, with the health of what they send to.

    \b
    Examples:
      fluxgate routes list
      fluxgate routes list -n shop --status rejected -o json
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.api import connected  # noqa: PLC0415 - 0.1 s for other commands

    with connected(api, namespace) as connection:
        query = {
            "namespace": namespace or connection.context.namespace,
            "status": status,
            "label": label,
        }
        found = list(connection.pages(ROUTES, query, limit))
    columns = ("ID", "NAMESPACE", "NAME", "PATHS", "STATUS", "SERVED", "HEALTH")
    rows = (
        (
            each["id"],
            each["namespace"],
            each["name"],
            _paths(each["match"]),
            each["status"],
            truth(each["sync_status"] == "propagated_to_all_nodes"),
            each["health"]["status"],
        )
        for each in found
    )
    print_as(output, found, columns, rows)


def get(
    route: RouteId,
    namespace: options.InNamespace = None,
    output: options.DataOutput = DataFormat.YAML,
    api: options.Api = None,
) -> None:
    """Show one route: what was written, and how it is.

    \b
    Example:
      fluxgate routes get shop/orders
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.writes import one_object, print_object  # noqa: PLC0415 - as above

    with one_object(api, "Route", ROUTES, route, namespace) as (connection, path):
        print_object(connection.get(path), output)


def create(
    name: Annotated[str | None, typer.Argument(help="Its name.", show_default=False)] = None,
    path: Annotated[
        str | None, typer.Option("--path", help="/a/* takes /a and all below it.")
    ] = None,
    upstream: Annotated[
        str | None, typer.Option("--upstream", help="The URL that requests go to.")
    ] = None,
    method: Annotated[list[str] | None, typer.Option("--method", help="Repeatable.")] = None,
    host: Annotated[list[str] | None, typer.Option("--host", help="Repeatable.")] = None,
    data: options.Data = None,
    file: options.BodyFile = None,
    namespace: options.InNamespace = None,
    reason: options.Reason = "",
    dry_run: options.DryRun = False,
    wait: options.Wait = True,
    timeout: options.Timeout = 60.0,
    output: options.DataOutput = DataFormat.TABLE,
    api: options.Api = None,
) -> None:
    """Make a route; return when every node serves it.

    \b
    Examples:
      fluxgate routes create orders --path '/orders/*' --upstream http://127.0.0.1:9000
      fluxgate routes create --file route.json --dry-run
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.writes import Write, create_object, read_body, tell  # noqa: PLC0415 - as above

    if name is None:
        body = read_body(data, file)
    elif data is not None or file is not None or path is None:
        raise UsageError(
            "give NAME with --path and --upstream, or a whole body with --data or --file"
        )
    else:
        body = _body(name, path, upstream, method or [], host or [])
    write = Write(reason, dry_run, wait, timeout)
    response = create_object(api, ROUTES, body, namespace, write)
    tell(response, output, f"route {body.get('name')}")


def update(
    route: RouteId,
    data: options.Data = None,
    file: options.BodyFile = None,
    if_match: options.IfMatch = None,
    namespace: options.InNamespace = None,
    reason: options.Reason = "",
    dry_run: options.DryRun = False,
    wait: options.Wait = True,
    timeout: options.Timeout = 60.0,
    output: options.DataOutput = DataFormat.TABLE,
    api: options.Api = None,
) -> None:
    """Change a route by a JSON merge patch: what is not named stays, null takes away.

    \b
    Examples:
      fluxgate routes update orders --data '{timeout: 5s, retries: 2}'
      fluxgate routes update rt_9x4m2p1q --file patch.json --reason 'ticket 4711'
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.writes import Write, one_object, read_body, tell  # noqa: PLC0415 - as above

    body = read_body(data, file)
    write = Write(reason, dry_run, wait, timeout, if_match=if_match)
    with one_object(api, "Route", ROUTES, route, namespace) as (connection, path):
        tell(write.ask(connection, "PATCH", path, body), output, f"route {route}")


def delete(
    route: RouteId,
    if_match: options.IfMatch = None,
    force: options.Force = False,
    namespace: options.InNamespace = None,
    reason: options.Reason = "",
    dry_run: options.DryRun = False,
    wait: options.Wait = True,
    timeout: options.Timeout = 60.0,
    output: options.DataOutput = DataFormat.TABLE,
    api: options.Api = None,
) -> None:
    """Delete a route; return when no node serves it any more.

    \b
    Example:
      fluxgate routes delete shop/orders
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.writes import Write, one_object, tell  # noqa: PLC0415 - as above

    write = Write(reason, dry_run, wait, timeout, force, if_match)
    with one_object(api, "Route", ROUTES, route, namespace) as (connection, path):
        tell(write.ask(connection, "DELETE", path), output, f"route {route}", deleted=True)


def _body(
    name: str, path: str, upstream: str | None, methods: list[str], hosts: list[str]
) -> dict[str, Any]:
    match: dict[str, Any] = {"path": path}
    match |= {"methods": [each.upper() for each in methods]} if methods else {}
    match |= {"hosts": hosts} if hosts else {}
    return {"name": name, "match": match} | ({"upstream": upstream} if upstream else {})


def _paths(match: Any) -> str:  # noqa: ANN401 - JSON
    found = match if isinstance(match, list) else [match]
    return " ".join(
        path if isinstance(path := each.get("path"), str) else (path or {}).get("value", "/")
        for each in found
    )
