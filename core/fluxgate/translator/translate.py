"""From all objects to the IR of every gateway and the status of every object."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from fluxgate.resources import Resources
from fluxgate.translator.finish import finish_gateways, finish_statuses
from fluxgate.translator.result import TranslateOptions, Translation
from fluxgate.translator.steps import (
    process_api_keys,
    process_backends,
    process_gateways,
    process_plugins,
    process_routes,
    process_services,
    process_tenants,
    process_upstreams,
)
from fluxgate.translator.view import View

STEPS: tuple[Callable[[View], None], ...] = (
    process_tenants,
    process_gateways,
    process_plugins,
    process_services,
    process_upstreams,
    process_backends,
    process_routes,
    process_api_keys,
)
"""Facts a step needs are made by a step before it."""


class TranslateCache:
    """What is kept from one translation to the next. It never changes the result, only its cost."""

    __slots__ = ("_view",)

    def __init__(self) -> None:
        self._view: View | None = None

    def take(self, resources: Resources) -> View:
        """The facts of the last translation, or none; the cache is empty until :meth:`keep`."""
        view, self._view = self._view, None
        if view is None:
            return View(resources)
        view.resources = resources
        return view

    def keep(self, view: View) -> None:
        """Keep ``view`` for the next translation."""
        self._view = view


def translate(
    resources: Resources,
    options: TranslateOptions | None = None,
    cache: TranslateCache | None = None,
) -> Translation:
    """Translate the world. A mistake in an object becomes a condition on it, never an exception.

    With a ``cache``, the cost is that of what changed since its last use. Should a bug
    raise, the cache is left empty, so that the next call starts afresh.
    """
    cache = cache or TranslateCache()
    view = cache.take(resources)
    options = options or TranslateOptions()
    view.exposes = options.exposes
    view.dirty = view.changes.update(resources, options)
    for step in STEPS:
        step(view)
    gateways = finish_gateways(view)
    finish_statuses(view)
    view.dirty, view.touched = set(), set()
    cache.keep(view)
    return Translation(MappingProxyType(gateways), MappingProxyType(dict(view.statuses)))
