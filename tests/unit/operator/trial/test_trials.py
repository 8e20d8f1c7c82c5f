"""What a trial finds, says is different, and asks Envoy, with a judge in Envoy's place.

The real Envoy answers in tests/envoy/test_trials.py.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from support.certificates import Authority
from unit.operator.trial.stage import Stage, backend, changes, made, ref_of, route

from fluxgate.api.v1alpha1 import Resource
from fluxgate.ports import FindingSource, Proposal, Trial
from fluxgate.resources import Object, ObjectRef, Resources
from fluxgate.translator import SetAside, spec_digest


def said(trial: Trial) -> list[tuple[str, str, str, bool]]:
    return [(each.source.value, str(each.ref), each.pointer, each.fatal) for each in trial.findings]


async def test_a_good_route_is_tried_and_nothing_is_stored() -> None:
    stage = Stage(route("old"))
    revision = stage.store.revision

    trial = await stage.attempt(route("new"))

    assert trial.ok
    assert trial.findings == ()
    assert trial.asked_envoy
    assert stage.store.revision == revision
    assert stage.store.get(ObjectRef("Route", "default", "new")) is None


async def test_envoy_is_shown_what_changes_and_nothing_else() -> None:
    stage = Stage(*(route(f"old{number}") for number in range(20)))

    await stage.attempt(route("new", to="http://127.0.0.1:9100"))

    (shown,) = stage.judge.seen
    assert b"/new" in shown
    assert b"/old" not in shown


async def test_envoy_is_shown_endpoints_that_change_without_any_route() -> None:
    pool = made("Upstream", "pool", targets=[{"host": "10.1.1.1", "port": 80}])
    document = route("a")
    document["spec"]["backends"] = [{"kind": "Upstream", "name": "pool"}]
    stage = Stage(pool, document)
    stage.judge.words = [b"10.9.9.9"]

    trial = await stage.attempt(
        made("Upstream", "pool", targets=[{"host": "10.9.9.9", "port": 80}])
    )

    assert [each.pointer for each in trial.findings] == ["/spec/targets/0/host"]
    assert b"/a" not in stage.judge.seen[0]


async def test_envoy_is_shown_the_certificate_of_a_listener_that_changes() -> None:
    pair = Authority().issue("app.example.com")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "site"},
        "stringData": {"tls.crt": pair.certificate.decode(), "tls.key": pair.key.decode()},
    }

    def serving(port: int) -> dict[str, object]:
        tls = {"certificateRefs": [{"name": "site"}]}
        listener = {
            "name": "https",
            "address": "127.0.0.1",
            "port": port,
            "protocol": "HTTPS",
            "tls": tls,
        }
        return made("GatewayConfig", "main", listeners=[listener])

    stage = Stage(secret, serving(8443), route("a"))

    trial = await stage.attempt(serving(9443))

    assert trial.ok, trial
    (shown,) = stage.judge.seen
    assert pair.certificate in shown
    assert b"route/default/a" not in shown


async def test_a_new_route_is_told_with_all_it_adds_to_envoy() -> None:
    trial = await Stage().attempt(route("new", to="http://127.0.0.1:9100"))

    found = changes(trial)
    assert found["Route route/default/new/0"] == "added"
    assert found["RouteConfiguration main"] == "changed"
    assert [change for name, change in found.items() if name.startswith("Cluster ")] == ["added"]
    assert not any("probe" in name for name in found)


async def test_a_route_in_one_more_host_is_changed_and_not_added() -> None:
    stage = Stage(route("a", hosts=["one.example.com"]))

    trial = await stage.attempt(route("a", hosts=["one.example.com", "two.example.com"]))

    assert [each.change for each in trial.difference.routes] == ["changed"]


async def test_only_the_cluster_whose_bytes_differ_is_changed() -> None:
    stage = Stage(route("a"))

    trial = await stage.attempt(route("b"))

    assert not any(name.startswith(("Cluster ", "ClusterLoad")) for name in changes(trial))


async def test_the_diff_shows_what_an_object_would_say() -> None:
    stage = Stage(route("a", "/before"))

    trial = await stage.attempt(route("a", "/after"))

    ((ref, text),) = trial.difference.objects
    assert ref == ObjectRef("Route", "default", "a")
    assert "-      value: /before" in text
    assert "+      value: /after" in text


async def test_an_equal_object_is_no_difference_and_no_question() -> None:
    stage = Stage(route("a"))

    trial = await stage.attempt(route("a"))

    assert trial.ok
    assert trial.difference.objects == ()
    assert changes(trial) == {}
    assert not trial.asked_envoy
    assert stage.judge.seen == []


async def test_what_the_models_refuse_has_a_pointer_and_is_not_translated() -> None:
    stage = Stage()
    wrong = route("a")
    wrong["spec"]["backends"] = [{"url": "no url"}]
    wrong["spec"]["tiemouts"] = {}

    trial = await stage.attempt(wrong)

    assert not trial.ok
    assert {each.pointer for each in trial.findings} >= {"/spec/backends/0/url", "/spec/tiemouts"}
    assert {each.source for each in trial.findings} == {FindingSource.SCHEMA}
    assert {each.proposal for each in trial.findings} == {0}
    assert stage.judge.seen == []


async def test_a_document_of_another_name_than_its_proposal_is_refused() -> None:
    stage = Stage()

    trial = await stage.trials.try_out([Proposal(ObjectRef("Route", "default", "a"), route("b"))])

    assert said(trial) == [("schema", "Route default/a", "/metadata/name", True)]


async def test_a_reference_to_nothing_is_found_where_it_stands() -> None:
    trial = await Stage().attempt(route("a", to="nobody"))

    assert not trial.ok
    assert ("translation", "Route default/a", "/spec/backends/0", True) in said(trial)


async def test_proposals_count_together() -> None:
    trial = await Stage().attempt(route("a", to="echo"), backend("echo"))

    assert trial.ok
    assert trial.asked_envoy


async def test_a_claim_that_another_route_has_is_refused() -> None:
    stage = Stage(route("a", "/same"))

    trial = await stage.attempt(route("b", "/same"))

    assert not trial.ok
    assert [(each.reason, each.pointer) for each in trial.findings] == [
        ("Conflicted", "/spec/matches/0")
    ]


@pytest.mark.parametrize("there", ["a", "z"])
async def test_what_is_served_already_keeps_its_claim_whatever_it_is_called(there: str) -> None:
    """Names decide between objects of one age, as all in a folder are: a new one could take by its name."""
    stage = Stage(route(there, "/same"))

    (found,) = (await stage.attempt(route("m", "/same"))).findings

    assert (str(found.ref), found.reason, found.pointer) == (
        *("Route default/m", "Conflicted"),
        "/spec/matches/0",
    )
    assert found.fatal
    assert f"Prefix /same on host * is already claimed by Route default/{there}" in found.message


async def test_not_even_one_of_several_matches_is_taken_from_what_is_served() -> None:
    served = route("z", "/same")
    served["spec"]["matches"].append({"path": {"type": "Prefix", "value": "/other"}})
    taking = route("a", "/free")
    taking["spec"]["matches"].append({"path": {"type": "Prefix", "value": "/other"}})
    stage = Stage(served)

    trial = await stage.attempt(taking)

    assert said(trial) == [("translation", "Route default/a", "/spec/matches/1", True)]


async def test_who_gives_a_claim_up_in_the_same_write_loses_nothing() -> None:
    stage = Stage(route("z", "/same"))

    trial = await stage.attempt(route("a", "/same"), route("z", "/moved"))

    assert trial.ok, trial.findings


async def test_an_object_keeps_its_age_so_that_its_own_change_loses_no_claim() -> None:
    elder, younger = route("z", "/same"), route("a", "/same")
    elder["metadata"]["creationTimestamp"] = "2024-01-01T00:00:00Z"
    younger["metadata"]["creationTimestamp"] = "2025-01-01T00:00:00Z"
    stage = Stage(elder, younger)

    trial = await stage.attempt(route("z", "/same", description="changed"))

    assert trial.ok, trial.findings
    assert not (await stage.attempt(route("a", "/same", description="changed"))).ok


async def test_an_age_that_a_proposal_claims_does_not_count() -> None:
    there, claimed = route("z", "/same"), route("a", "/same")
    there["metadata"]["creationTimestamp"] = "2024-01-01T00:00:00Z"
    claimed["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z"
    stage = Stage(there)

    trial = await stage.attempt(claimed)

    assert [each.ref for each in trial.findings] == [ObjectRef("Route", "default", "a")]


async def test_what_envoy_rejected_already_stays_aside_until_it_says_something_else() -> None:
    bad = route("bad", "/refused")
    stage = Stage(bad)
    ref = ref_of(bad)
    rejected = stage.store.get(ref)
    assert rejected is not None
    stage.reconciler.set_objects_aside({ref: SetAside(spec_digest(rejected), "no /refused here")})
    assert stage.reconciler.reconcile()

    other = await stage.attempt(route("new"))
    again = await stage.attempt(bad)
    repaired = await stage.attempt(route("bad", "/fine"))

    assert not any("bad" in name for name in changes(other))
    assert said(again) == [("envoy", str(ref), "/spec/matches/0/path/value", True)]
    assert repaired.ok
    assert changes(repaired)["Route route/default/bad/0"] == "added"


async def test_who_suffers_without_having_been_proposed_is_named() -> None:
    stage = Stage(backend("echo"), route("a", to="echo"))

    trial = await stage.attempt(made("Backend", "echo", service={"name": "gone", "port": 80}))

    assert not trial.ok
    assert [each for each in trial.findings if each.proposal is None]
    assert {str(each.ref) for each in trial.findings if each.proposal is None} == {
        "Route default/a"
    }


async def test_deleting_what_others_use_names_them_and_is_what_was_asked_for() -> None:
    stage = Stage(backend("echo"), route("a", to="echo"))

    trial = await stage.without("Backend", "echo")

    assert trial.ok
    assert [str(each.ref) for each in trial.findings] == ["Route default/a"]


async def test_deleting_a_route_removes_it_from_envoy() -> None:
    stage = Stage(route("a"), route("b"))

    trial = await stage.without("Route", "a")

    assert changes(trial)["Route route/default/a/0"] == "removed"
    ((_, text),) = trial.difference.objects
    assert "+++ /dev/null" in text


async def test_a_field_without_effect_is_told_and_no_reason_to_refuse() -> None:
    trial = await Stage().attempt(route("a", workspace="demo"))

    assert trial.ok
    assert [(each.reason, each.fatal) for each in trial.findings] == [("PartiallyAccepted", False)]


async def test_an_object_switched_off_is_accepted() -> None:
    trial = await Stage().attempt(route("a", enabled=False))

    assert trial.ok


async def test_what_envoy_refuses_is_quoted_with_the_place_of_the_value() -> None:
    stage = Stage()
    stage.judge.words = [b"/refused"]

    trial = await stage.attempt(route("a", "/refused"))

    (finding,) = trial.findings
    assert finding.source is FindingSource.ENVOY
    assert finding.pointer == "/spec/matches/0/path/value"
    assert finding.message == "Envoy rejects it: /refused is bad"
    assert finding.fatal


async def test_of_several_proposals_the_one_that_envoy_refuses_is_found() -> None:
    stage = Stage()
    stage.judge.words = [b"/refused"]

    trial = await stage.attempt(*(route(name) for name in "abc"), route("bad", "/refused"))

    assert [(str(each.ref), each.proposal) for each in trial.findings] == [("Route default/bad", 3)]


async def test_every_proposal_that_envoy_refuses_is_found() -> None:
    stage = Stage()
    stage.judge.words = [b"/refused"]

    trial = await stage.attempt(
        route("a"), route("one", "/refused/1"), route("b"), route("two", "/refused/2")
    )

    assert {each.proposal for each in trial.findings} == {1, 3}


async def test_the_same_trial_of_the_same_world_is_known() -> None:
    stage = Stage()
    first = await stage.attempt(route("a"))

    again = await stage.attempt(route("a"))

    assert not first.cached
    assert again.cached
    assert again.difference == first.difference
    assert len(stage.judge.seen) == 1


async def test_a_world_that_changed_is_tried_anew_and_envoys_answer_is_known() -> None:
    stage = Stage(route("there"))
    await stage.attempt(route("a", "/same"))
    stage.put(route("b", "/other"))

    trial = await stage.attempt(route("a", "/same"))

    assert trial.cached
    assert len(stage.judge.seen) == 2

    stage.put(route("older", "/same"))
    assert not (await stage.attempt(route("z", "/same"))).ok


async def test_a_bug_lets_no_untried_change_through(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()

    def broken(*_: object) -> None:
        raise KeyError("secret words")

    monkeypatch.setattr("fluxgate_operator.pipeline.translate", broken)
    trial = await stage.attempt(route("a"))

    assert not trial.ok
    assert "secret words" not in str(trial)

    monkeypatch.undo()
    assert (await stage.attempt(route("b"))).ok


class Cupboard:
    """Holds one object that nothing refers to so far."""

    def __init__(self, found: Object) -> None:
        self.found = found
        self.asked: list[ObjectRef] = []

    async def missing(self, base: Resources, proposed: Iterable[Resource]) -> list[Object]:
        self.asked += [
            ObjectRef(each.kind, each.metadata.namespace, each.metadata.name) for each in proposed
        ]
        return [self.found]


async def test_what_nothing_referred_to_so_far_is_brought_for_the_trial_alone() -> None:
    from fluxgate.resources import Endpoint, ServiceEndpoints  # noqa: PLC0415

    service = ServiceEndpoints("default", "shop", {80: (Endpoint("10.0.0.1", 8080),)})
    stage = Stage(supply=Cupboard(service))
    document = route("a")
    document["spec"]["backends"] = [{"kind": "Service", "name": "shop", "port": 80}]

    assert (await stage.attempt(document)).ok
    other = Stage()
    assert not (await other.attempt(document)).ok


async def test_trials_one_after_another_say_what_each_would_say_alone() -> None:
    """Caches go from one proposal to the next; they must not change what is found."""
    world = [backend("echo"), *(route(f"r{number}", to="echo") for number in range(5))]
    attempts = [
        route("r1", "/moved"),
        route("r2", to="nobody"),
        route("new", "/r3"),
        backend("echo", "http://127.0.0.1:9200"),
        route("r1"),
        route("r4", "/moved"),
    ]
    stage = Stage(*world)
    for index, each in enumerate(attempts):
        alone = await Stage(*world).attempt(each)
        together = await stage.attempt(each)
        assert (together.findings, together.difference) == (alone.findings, alone.difference), each
        if index == 2:
            extra = route("late", "/late", to="echo")
            stage.put(extra)
            world.append(extra)
            assert ref_of(extra) in dict(stage.store.freeze())
