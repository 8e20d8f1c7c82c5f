"""What stands for an image: programs of this machine, seen from inside the container."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_RATE_LIMIT = Path("/opt/ratelimit")
"""Where the rate limit service is in the container: its own folder may be one that only root reads."""


@dataclass(frozen=True, slots=True)
class Image:
    """Entry point and environment of an image, and the folders bound into its root, read only."""

    entrypoint: tuple[str, ...]
    environment: Mapping[str, str]
    binds: Mapping[str, Path] = field(default_factory=dict)


def fluxgate_image(scratch: Path, envoy: Path, ratelimit: Path) -> Image:
    """The image that the Dockerfile describes, made of this checkout and its environment.

    ``envoy`` and ``ratelimit`` are programs of this machine.
    """
    programs = scratch / "fluxgate-image"
    programs.mkdir(parents=True, exist_ok=True)
    _link(programs / "envoy", envoy)
    _link(programs / "fluxgate", Path(sys.prefix) / "bin" / "fluxgate")
    _link(programs / "ratelimit", _RATE_LIMIT / ratelimit.name)
    python = Path(sys.base_prefix)
    binds = {str(each): each for each in {REPOSITORY, Path(sys.prefix), python, envoy.parent}}
    return Image(
        entrypoint=("fluxgate",),
        environment={
            "PATH": "/opt/fluxgate/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": "/tmp",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        binds={
            **_outermost(binds),
            "/opt/fluxgate/bin": programs,
            str(_RATE_LIMIT): ratelimit.parent,
        },
    )


def redis_image() -> Image:
    """This machine's ``redis-server``; its Debian package puts it below ``/usr``."""
    return Image(entrypoint=("redis-server",), environment={"PATH": "/usr/bin:/bin"})


def python_image(**environment: str) -> Image:
    """This machine's Python with the checkout's packages: for applications behind the gateway."""
    binds = {str(each): Path(each) for each in (REPOSITORY, sys.prefix, sys.base_prefix)}
    return Image(
        entrypoint=(str(Path(sys.prefix) / "bin" / "python"),),
        environment={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", **environment},
        binds=_outermost(binds),
    )


def _outermost(binds: Mapping[str, Path]) -> dict[str, Path]:
    """Without folders that lie in another one, which would be mounted twice."""
    return {
        name: path
        for name, path in binds.items()
        if not any(path != other and path.is_relative_to(other) for other in binds.values())
        and not name.startswith("/usr/")
    }


def _link(link: Path, target: Path) -> None:
    temporary = link.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
