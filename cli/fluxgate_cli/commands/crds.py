"""``fluxgate crds``: the CustomResourceDefinitions of this version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from fluxgate.api.crd import build_crds
from fluxgate_cli.files import write_atomically
from fluxgate_cli.output import print_data, say


def crds(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write one file a kind into this folder instead."),
    ] = None,
) -> None:
    """Print the CustomResourceDefinitions, ready for kubectl apply.

    \b
    Examples:
      fluxgate crds | kubectl apply -f -
      fluxgate crds --output crds/
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    documents = {name: _render(crd) for name, crd in build_crds().items()}
    if output is None:
        print_data("---\n".join(documents.values()))
        return
    for name, text in documents.items():
        write_atomically(output / f"{name}.yaml", text)
    say(f"wrote {len(documents)} files to {output}")


class _Dumper(yaml.SafeDumper):
    """Writes shared objects out in full: not every reader follows YAML anchors."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def _render(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100)
