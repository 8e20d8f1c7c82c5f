"""Which objects make Envoy refuse a folder: the real Envoy decides among halves of the suspects."""

from __future__ import annotations

from collections.abc import Mapping

from fluxgate.resources import ObjectRef, Resources
from fluxgate.translator import SetAside, TranslateOptions, spec_digest, translate
from fluxgate.xds.build import build_snapshot
from fluxgate.xds.static import static_bootstrap
from fluxgate_operator.envoy.validate import EnvoyValidator, Validation, Verdict

ORDER = ("Route", "ApiKey", "Plugin", "Tenant", "Backend", "Upstream", "Secret")
"""Who refers comes before what is referred to: without its bad backend a good route is accepted,
so the backend is found and not the route."""

MAX_CULPRITS = 20


async def find_culprits(
    resources: Resources, gateway: str, validator: EnvoyValidator
) -> dict[ObjectRef, str]:
    """Every object that has to go before Envoy accepts ``gateway``, with Envoy's words about it.

    Empty when it accepts everything, or refuses even what cannot be left out.
    """
    suspects = sorted(
        (ref for ref, _ in resources if ref.kind in ORDER),
        key=lambda ref: (ORDER.index(ref.kind), ref),
    )
    bare = await _without(resources, gateway, validator, dict.fromkeys(suspects, ""))
    culprits: dict[ObjectRef, str] = {}
    while bare.ok and len(culprits) < MAX_CULPRITS:
        verdict = await _without(resources, gateway, validator, culprits)
        if verdict.verdict is not Verdict.REJECTED:
            break
        # Invariant: without suspects[low:] Envoy accepts, without suspects[high:] it refuses.
        low, high, words = 0, len(suspects), verdict.message
        while high - low > 1:
            middle = (low + high) // 2
            aside = {**culprits, **dict.fromkeys(suspects[middle:], "")}
            found = await _without(resources, gateway, validator, aside)
            if found.verdict is Verdict.REJECTED:
                high, words = middle, found.message
            else:
                low = middle
        culprits[suspects.pop(high - 1)] = words
    return culprits


async def _without(
    resources: Resources,
    gateway: str,
    validator: EnvoyValidator,
    aside: Mapping[ObjectRef, str],
) -> Validation:
    """Envoy's verdict on the gateway without some of the objects."""
    entries = {
        ref: SetAside(spec_digest(obj), message)
        for ref, message in aside.items()
        if (obj := resources.get(ref)) is not None
    }
    found = translate(resources, TranslateOptions(entries)).gateways.get(gateway)
    if found is None:
        return Validation(Verdict.OK)
    return await validator.validate(static_bootstrap(build_snapshot(found)))
