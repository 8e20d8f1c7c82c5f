"""Edits that reach a route only through something else, each with a warm cache."""

from __future__ import annotations

import pytest
from unit.translator.world import bundle, edge, obj, route

from fluxgate.translator import TranslateCache, translate

BASE = (edge(), route(tenant="t", backends=[{"name": "b"}], plugins=[{"name": "named"}]))


def plugin(name: str, *targets: tuple[str, str], requests: int = 1):
    spec = {"type": "rate-limit", "config": {"requests": requests}}
    spec["targets"] = [{"kind": kind, "name": target} for kind, target in targets]
    return obj("Plugin", name, spec)


WORLD = {
    "tenant": obj("Tenant", "t"),
    "backend": obj("Backend", "b", {"upstream": "u"}),
    "upstream": obj("Upstream", "u", {"targets": [{"host": "127.0.0.1", "port": 1}]}),
    "named": obj("Plugin", "named", {"type": "cors"}),
    "attached": plugin("attached", ("Route", "r")),
}
EDITS = {
    "tenant": obj("Tenant", "t", {"hosts": ["t.example.com"]}),
    "backend": obj("Backend", "b", {"upstream": "u", "timeouts": {"request": "1s"}}),
    "upstream": obj(
        "Upstream", "u", {"targets": [{"host": "127.0.0.1", "port": 1}], "protocol": "HTTP2"}
    ),
    "named": obj("Plugin", "named", {"type": "key-auth"}),
    "attached": plugin("attached", ("Route", "r"), requests=2),
}


@pytest.mark.parametrize("what", EDITS)
@pytest.mark.parametrize("removed", [False, True], ids=["changed", "removed"])
def test_an_edit_reaches_the_route_through_the_cache(what, removed):
    cache = TranslateCache()
    before = translate(bundle(*BASE, *WORLD.values()), cache=cache)
    world = {**WORLD, what: EDITS[what]}
    if removed:
        del world[what]
    after = translate(bundle(*BASE, *world.values()), cache=cache)
    assert after == translate(bundle(*BASE, *world.values()))
    assert after.gateways != before.gateways


@pytest.mark.parametrize(
    "target", [("Route", "r"), ("Backend", "b"), ("Tenant", "t"), ("GatewayConfig", "edge")]
)
def test_a_plugin_that_turns_to_another_target_leaves_the_first(target):
    cache = TranslateCache()
    world = (*BASE, *(each for name, each in WORLD.items() if name != "attached"))
    before = translate(bundle(*world, plugin("p", target)), cache=cache)
    after = translate(bundle(*world, plugin("p", ("Route", "other"))), cache=cache)
    assert before.gateways["edge"].plans != after.gateways["edge"].plans
    assert after == translate(bundle(*world, plugin("p", ("Route", "other"))))
