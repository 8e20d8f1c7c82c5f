"""``fluxgate plugins``: plugins of the admin API, and the order in which Envoy runs them."""

from __future__ import annotations

from typing import Annotated

import typer

from fluxgate_cli import options
from fluxgate_cli.admin_client.completion import complete_ids
from fluxgate_cli.errors import EPILOG
from fluxgate_cli.output import DataFormat, print_as, truth

PLUGINS = "/v2/plugins"
PluginId = Annotated[
    str,
    typer.Argument(
        metavar="PLUGIN",
        help="Its id (pl_…), its name, or NAMESPACE/NAME.",
        autocompletion=complete_ids(PLUGINS),
        show_default=False,
    ),
]
_HELP = """Plugins of the admin API: policies that routes share.

\b
Examples:
  fluxgate plugins list
  fluxgate plugins types
  fluxgate plugins configure partner-limits --data '{requests: 120, window: 1m}'
"""


def create_app() -> typer.Typer:
    """The command group."""
    app = typer.Typer(help=_HELP, no_args_is_help=True, epilog=EPILOG)
    for name, command in (
        ("list", list_),
        ("types", types),
        ("get", get),
        ("create", create),
        ("configure", configure),
        ("delete", delete),
    ):
        app.command(name, epilog=EPILOG)(command)
    return app


def list_(
    namespace: options.Namespace = None,
    label: Annotated[str | None, typer.Option("--label", "-l", help="Only with key=value.")] = None,
    limit: options.Limit = None,
    output: options.DataOutput = DataFormat.TABLE,
    api: options.Api = None,
) -> None:
    """List plugins.

    \b
    Example:
      fluxgate plugins list -n shop
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.api import connected  # noqa: PLC0415 - 0.1 s for other commands

    with connected(api, namespace) as connection:
        query = {"namespace": namespace or connection.context.namespace, "label": label}
        found = list(connection.pages(PLUGINS, query, limit))
    columns = ("ID", "NAMESPACE", "NAME", "TYPE", "TARGETS", "STATUS", "SERVED")
    rows = (
        (
            each["id"],
            each["namespace"],
            each["name"],
            each["type"],
            " ".join(f"{target['kind']}/{target['name']}" for target in each["targets"]) or "-",
            each["status"],
            truth(each["sync_status"] == "propagated_to_all_nodes"),
        )
        for each in found
    )
    print_as(output, found, columns, rows)


def types(output: options.DataOutput = DataFormat.TABLE, api: options.Api = None) -> None:
    """List the types of plugins there are, in the order in which Envoy runs them.

    \b
    Example:
      fluxgate plugins types
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.api import connected  # noqa: PLC0415 - as above

    with connected(api) as connection:
        order = connection.get(PLUGINS, {"limit": 1})["execution_order"]
    rows = ((str(each["position"]), each["type"], each["summary"]) for each in order)
    print_as(output, order, ("#", "TYPE", "DOES"), rows)


def get(
    plugin: PluginId,
    namespace: options.InNamespace = None,
    output: options.DataOutput = DataFormat.YAML,
    api: options.Api = None,
) -> None:
    """Show one plugin.

    \b
    Example:
      fluxgate plugins get shop/partner-limits
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.writes import one_object, print_object  # noqa: PLC0415 - as above

    with one_object(api, "Plugin", PLUGINS, plugin, namespace) as (connection, path):
        print_object(connection.get(path), output)


def create(
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
    """Make a plugin; return when every node has it.

    \b
    Example:
      fluxgate plugins create --data '{name: limits, type: rate_limit, config: {requests: 60}}'
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.writes import Write, create_object, read_body, tell  # noqa: PLC0415 - as above

    body = read_body(data, file)
    write = Write(reason, dry_run, wait, timeout)
    response = create_object(api, PLUGINS, body, namespace, write)
    tell(response, output, f"plugin {body.get('name')}")


def configure(
    plugin: PluginId,
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
    """Give a plugin another config, the whole of it.

    \b
    Example:
      fluxgate plugins configure limits --data '{requests: 120, window: 1m}'
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.writes import Write, one_object, read_body, tell  # noqa: PLC0415 - as above

    body = read_body(data, file)
    write = Write(reason, dry_run, wait, timeout, if_match=if_match)
    with one_object(api, "Plugin", PLUGINS, plugin, namespace) as (connection, path):
        tell(write.ask(connection, "PUT", f"{path}/config", body), output, f"plugin {plugin}")


def delete(
    plugin: PluginId,
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
    """Delete a plugin; routes that name it stand in the way, unless forced.

    \b
    Example:
      fluxgate plugins delete shop/partner-limits
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.writes import Write, one_object, tell  # noqa: PLC0415 - as above

    write = Write(reason, dry_run, wait, timeout, force, if_match)
    with one_object(api, "Plugin", PLUGINS, plugin, namespace) as (connection, path):
        tell(write.ask(connection, "DELETE", path), output, f"plugin {plugin}", deleted=True)
