"""The ``fluxgate`` command: its groups, and what becomes of an error."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from fluxgate_cli.commands import (
    admin,
    api_keys,
    apply,
    audit,
    bootstrap,
    config,
    context,
    controller,
    crds,
    diff,
    drain,
    dump,
    explain,
    history,
    import_,
    nodes,
    plugins,
    request,
    routes,
    run,
    status,
    upstreams,
    validate,
    version,
)
from fluxgate_cli.errors import EPILOG, ExitCode
from fluxgate_cli.failures import as_cli_error
from fluxgate_cli.output import print_error


@dataclass(slots=True)
class Invocation:
    """What the options before the command say."""

    debug: bool = False


def create_app() -> typer.Typer:
    """The command line interface."""
    app = typer.Typer(
        name="fluxgate",
        help="An API gateway: Envoy carries the traffic, FluxGate programs it and proves that it serves.",
        epilog=EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for command in (
        run.run,
        controller.controller,
        status.status,
        upstreams.upstreams,
        validate.validate,
        explain.explain,
        bootstrap.bootstrap,
        drain.drain,
        version.version,
        request.request,
        dump.dump,
        apply.apply,
    ):
        app.command(epilog=EPILOG, no_args_is_help=command in _NEED_ARGUMENTS)(command)
    app.command(cls=diff.DiffCommand, epilog=diff.EPILOG, no_args_is_help=False)(diff.diff)
    app.add_typer(admin.create_app(), name="admin")
    app.add_typer(api_keys.create_app(), name="api-keys")
    app.add_typer(context.create_app(), name="context")
    app.add_typer(crds.create_app(), name="crds")
    app.add_typer(routes.create_app(), name="routes")
    app.add_typer(plugins.create_app(), name="plugins")
    app.add_typer(config.create_app(), name="config")
    app.add_typer(history.create_app(), name="history")
    app.add_typer(audit.create_app(), name="audit")
    app.add_typer(nodes.create_app(), name="nodes")
    app.add_typer(import_.create_app(), name="import")
    return app


_NEED_ARGUMENTS = (explain.explain, bootstrap.bootstrap, drain.drain, request.request, apply.apply)


def _options(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")
    ] = False,
) -> None:
    context.ensure_object(Invocation).debug = debug


def main() -> None:
    """Run the command line and leave with its exit code."""
    invocation = Invocation()
    try:
        create_app()(obj=invocation)
    except Exception as error:
        if invocation.debug:
            raise
        known = as_cli_error(error)
        print_error(known)
        sys.exit(known.exit_code)


__all__ = ["ExitCode", "Invocation", "create_app", "main"]


if __name__ == "__main__":
    main()
