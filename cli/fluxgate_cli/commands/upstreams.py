"""``fluxgate upstreams``: which targets take requests, as Envoy sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.text import Text

from fluxgate_cli import options
from fluxgate_cli.control import client
from fluxgate_cli.control.models import PoolView, TargetView
from fluxgate_cli.output import OutputFormat, print_json, print_table

_STYLES = {"Healthy": "green", "Unhealthy": "red", "PartlyHealthy": "yellow"}


def upstreams(
    state_dir: options.StateDir = options.DEFAULT_STATE,
    unhealthy: Annotated[
        bool, typer.Option("--unhealthy", help="Only targets that some Envoy sends nothing.")
    ] = False,
    output: options.Output = OutputFormat.TABLE,
) -> None:
    """Show the targets of every pool, and what health checks and Envoy's experience say of them.

    \b
    Examples:
      fluxgate upstreams               every target
      fluxgate upstreams --unhealthy   those that are out
      fluxgate upstreams -o json       for a program
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    view = client.upstreams(state_dir)
    if unhealthy:
        view = view.model_copy(update={"pools": tuple(_ailing(view.pools))})
    if output is OutputFormat.JSON:
        print_json(view)
        return
    rows = (_row(pool, each) for pool in view.pools for each in pool.targets)
    print_table(("POOL", "TARGET", "HEALTH", "REASONS", "NODES"), rows)


def _ailing(pools: tuple[PoolView, ...]) -> Iterator[PoolView]:
    for pool in pools:
        targets = tuple(each for each in pool.targets if _is_out(each))
        if targets:
            yield pool.model_copy(update={"targets": targets})


def _is_out(target: TargetView) -> bool:
    return target.health in ("Unhealthy", "PartlyHealthy")


def _row(pool: PoolView, target: TargetView) -> tuple[str | Text, ...]:
    health = Text(target.health, style=_STYLES.get(target.health, "dim"))
    sending = 0 if target.health == "Unhealthy" else pool.nodes - len(target.nodes)
    nodes = f"{sending}/{pool.nodes}" if pool.checked else "-"
    return pool.pool, target.address, health, ", ".join(target.reasons), nodes
