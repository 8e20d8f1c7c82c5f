"""``fluxgate validate``: would this folder be served?"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fluxgate_cli import options
from fluxgate_cli.errors import EnvoyMissingError, InvalidResourcesError
from fluxgate_cli.folder import load_folder
from fluxgate_cli.output import OutputFormat, print_json, print_table, say
from fluxgate_operator.envoy.locate import locate_envoy
from fluxgate_operator.errors import EnvoyNotFoundError

if TYPE_CHECKING:
    from fluxgate_cli.checking import Finding, Verification


def validate(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            envvar="FLUXGATE_CONFIG",
            help="Folder with the resources as YAML files.",
            show_default=False,
        ),
    ],
    envoy: options.EnvoyPath = None,
    skip_envoy: Annotated[
        bool, typer.Option("--skip-envoy", help="Check models and references only.")
    ] = False,
    partial: Annotated[
        bool,
        typer.Option(
            "--partial",
            help="The folder is a part: gateways and objects it refers to may be elsewhere.",
        ),
    ] = False,
    api: options.OptionalApi = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="With --api: for objects that name none."),
    ] = None,
    output: options.Output = OutputFormat.TABLE,
) -> None:
    """Check a folder with the models, the references and the real Envoy; change nothing.

    \b
    Examples:
      fluxgate validate config/                 before a commit, and in CI
      fluxgate validate config/ -o json         the findings for a program
      fluxgate validate config/ --skip-envoy    where no Envoy is installed
      fluxgate validate routes/ --partial       one team's routes, without the rest
      fluxgate validate routes/ --api prod      beside what the admin API of a context has
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    # Envoy's typed messages take 0.3 s to import, more than all other commands together
    from fluxgate_cli.checking import verify  # noqa: PLC0415
    from fluxgate_operator.envoy.validate import EnvoyValidator  # noqa: PLC0415

    if api is not None:
        from fluxgate_cli.declared.validating import validated_by_api  # noqa: PLC0415 - as above

        result = validated_by_api(config, namespace, api)
    else:
        validator = None if skip_envoy else EnvoyValidator(_located(envoy))
        result = asyncio.run(verify(load_folder(config), validator, partial=partial))
    if output is OutputFormat.JSON:
        print_json(result)
    elif result.findings:
        print_table(
            ("FILE", "OBJECT", "FOUND BY", "PROBLEM"),
            (
                (
                    _place(each),
                    each.object,
                    each.source,
                    each.message,
                )
                for each in result.findings
            ),
        )
    if not result.valid:
        count = len(result.findings)
        raise InvalidResourcesError(
            f"{count} problem{'s' if count > 1 else ''} in {config}",
            "Everything else would be served." if result.gateways else "Nothing would be served.",
        )
    say(_summary(result))


def _place(finding: Finding) -> str:
    """``file:line:column`` as editors and CI systems read it, as far as it is known."""
    known = (finding.line, finding.column) if finding.column else (finding.line,)
    return ":".join((finding.file, *(str(each) for each in known if each)))


def _summary(result: Verification) -> str:
    by = (
        "the models, the references and Envoy"
        if result.checked_by_envoy
        else f"the models and the references; Envoy was not asked: {result.not_asked}"
    )
    gateways = ", ".join(result.gateways) or "none"
    return f"valid: {result.objects} objects, gateway {gateways}; checked by {by}"


def _located(envoy: Path | None) -> Path:
    try:
        return locate_envoy(os.environ, envoy)
    except EnvoyNotFoundError as error:
        remedy = "Without one, --skip-envoy checks by the models and the references alone."
        raise EnvoyMissingError(str(error), remedy) from None
