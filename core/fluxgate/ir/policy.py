"""What policies leave in the IR: something on a route, and something a gateway has once.

Every type of policy brings its own classes (``fluxgate.ir.policies``); routes and gateways
only hold them, so that a new type changes neither. The HTTP filter that knows a class asks
for it by that class.
"""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.resources import ObjectRef


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """Base of what one policy says about one route. Subclasses are frozen and hashable."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Base of what several routes use and a gateway has once, for example a JWT provider.

    ``name`` is unique among the objects of one class: the name of the policy it was made from
    (``plugin/<namespace>/<name>`` or ``route/<namespace>/<name>/plugin/<index>``) or one made of
    its content. Equal objects count as one. ``origin`` is the object to blame for it.
    """

    name: str
    origin: ObjectRef


@dataclass(frozen=True, slots=True)
class PolicyOrigin:
    """One link of a route's chain: the type of a policy and the object that decides it."""

    type: str
    source: ObjectRef
    appended_to: tuple[ObjectRef, ...] = ()
    """The Plugins of wider scopes whose lists it continues (``mergeStrategy: Append``)."""
