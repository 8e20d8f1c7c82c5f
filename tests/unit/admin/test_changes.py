"""The way of a write: what is asked in which order, what races do, and what is left behind when something is away."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs
from support.admin_fakes import EVERYTHING, Bench, document, only_in, options, route

from fluxgate.errors import ResourceConflictError, ResourceStoreUnavailableError
from fluxgate.ports import Finding, FindingSource, Lag, LagReason, Propagation, Trial, Untried
from fluxgate.ports.resources import Document
from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate_admin.errors import (
    ConflictError,
    NotFoundError,
    PreconditionFailedError,
    ScopeMismatchError,
    UnavailableError,
    UnprocessableError,
)
from fluxgate_admin.principal import Principal, PrincipalKind
from fluxgate_admin.use_cases.changes import ATTEMPTS, Must
from fluxgate_admin.use_cases.documents import etag_of_document
from fluxgate_admin.use_cases.drafts import Draft
from fluxgate_admin.use_cases.ports import RevisionChange
from fluxgate_admin.use_cases.proof import SyncStatus

ORDERS = ObjectRef("Route", "default", "orders")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def with_timeout(seconds: int) -> object:
    def edit(before: Document | None) -> Draft:
        assert before is not None
        spec = {**before["spec"], "timeouts": {"request": f"{seconds}s"}}
        return Draft(ORDERS, {**before, "spec": spec})

    return edit


async def test_a_write_is_announced_before_it_is_made_and_recorded_after_it(bench: Bench) -> None:
    order: list[str] = []
    bench.resources.before_write = lambda: order.append(f"write after {bench.history.calls}")
    outcome = await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options(reason="why"))
    assert order == ["write after ['begin']"]
    assert bench.history.calls == ["begin", "finish"]
    revision = bench.history.revisions[0]
    assert (revision.author, revision.reason) == ("key:ci (key_1)", "why")
    assert revision.before is None
    assert outcome.change is RevisionChange.CREATED
    assert outcome.sync.status is SyncStatus.PROPAGATED
    assert outcome.revision == 1


async def test_without_a_history_nothing_is_written(bench: Bench) -> None:
    bench.history.failing, bench.history.error = {"begin"}, UnavailableError("away")
    with pytest.raises(UnavailableError):
        await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options())
    assert bench.resources.objects == {}


async def test_a_write_that_was_made_succeeds_though_the_history_went_away(bench: Bench) -> None:
    bench.history.failing, bench.history.error = {"finish"}, UnavailableError("away")
    outcome = await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options())
    assert ORDERS in bench.resources.objects
    assert outcome.revision is None
    assert outcome.sync.status is SyncStatus.PROPAGATED
    assert len(bench.history.intents) == 1, "the recorder finds it, and knows whose it was"


async def test_a_place_that_does_not_answer_leaves_the_announcement(bench: Bench) -> None:
    def away() -> None:
        raise ResourceStoreUnavailableError("Route default/orders", "no answer", 7.2)

    bench.resources.after_write = away
    with pytest.raises(UnavailableError) as refused:
        await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options())
    assert refused.value.headers == {"retry-after": "8"}
    assert len(bench.history.intents) == 1
    assert bench.history.calls == ["begin"]


async def test_a_write_that_was_certainly_not_made_leaves_none(bench: Bench) -> None:
    """Else the next equal write would be in the history twice."""

    def full() -> None:
        raise ResourceStoreUnavailableError("Route default/orders", "disk full", unwritten=True)

    bench.resources.before_write = full
    with pytest.raises(UnavailableError):
        await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options())
    assert bench.history.calls == ["begin", "abandon"]
    assert bench.history.intents == {}


async def test_a_write_that_was_refused_is_taken_back_from_the_history(bench: Bench) -> None:
    bench.resources.put(route())

    def lost() -> None:
        raise ResourceConflictError("Route default/orders", "has changed")

    bench.resources.before_write = lost
    with pytest.raises(ConflictError):
        await bench.changes.change(EVERYTHING, ORDERS, with_timeout(1), options())
    assert bench.history.calls == ["begin", "abandon"] * ATTEMPTS
    assert bench.history.intents == {}


async def test_a_write_that_raced_with_a_status_is_made_on_the_new_version(bench: Bench) -> None:
    bench.resources.put(route())
    races = iter((True, True, False))
    bench.resources.before_write = lambda: bench.resources.touch(ORDERS) if next(races) else None
    etag = etag_of_document(route())
    await bench.changes.change(EVERYTHING, ORDERS, with_timeout(3), options(if_match=(etag,)))
    spec = bench.resources.objects[ORDERS].document["spec"]
    assert spec["timeouts"] == {"request": "3s"}
    assert len(bench.history.revisions) == 1


async def test_a_write_that_raced_with_another_is_made_on_top_of_it(bench: Bench) -> None:
    bench.resources.put(route())
    races = iter((True, False))

    def race() -> None:
        if next(races):
            bench.resources.put(route(description="theirs"))

    bench.resources.before_write = race
    await bench.changes.change(EVERYTHING, ORDERS, with_timeout(3), options())
    spec = bench.resources.objects[ORDERS].document["spec"]
    assert (spec["timeouts"], spec["description"]) == ({"request": "3s"}, "theirs")


async def test_a_write_for_one_version_does_not_overwrite_another(bench: Bench) -> None:
    bench.resources.put(route())
    races = iter((True, False))

    def race() -> None:
        if next(races):
            bench.resources.put(route(description="theirs"))

    bench.resources.before_write = race
    with pytest.raises(PreconditionFailedError):
        await bench.changes.change(
            EVERYTHING, ORDERS, with_timeout(3), options(if_match=(etag_of_document(route()),))
        )
    assert bench.resources.objects[ORDERS].document["spec"]["description"] == "theirs"
    assert bench.history.intents == {}


async def test_what_is_written_over_keeps_the_bookkeeping_of_others(bench: Bench) -> None:
    kept = route()
    kept["metadata"] |= {
        "finalizers": ["example.com/hold"],
        "labels": {"old": "label"},
        "annotations": {"gateway.fluxgate.io/created-at": "2030", "mine": "goes"},
    }
    bench.resources.put(kept)
    draft = Draft(ORDERS, route(description="new"))
    await bench.changes.change(EVERYTHING, ORDERS, lambda _: draft, options(), must=Must.ANY)
    metadata = bench.resources.objects[ORDERS].document["metadata"]
    assert metadata["finalizers"] == ["example.com/hold"]
    assert metadata["annotations"] == {"gateway.fluxgate.io/created-at": "2030"}
    assert "labels" not in metadata


@pytest.mark.parametrize(
    "same",
    [
        route(),
        route(enabled=True, priority=0),
        document("Route", "orders", {**route()["spec"], "timeouts": None}),
    ],
    ids=["the same", "defaults written out", "null for nothing"],
)
async def test_an_equal_write_asks_nobody_and_writes_nothing(bench: Bench, same: Document) -> None:
    bench.resources.put(route())
    version = bench.resources.objects[ORDERS].version
    outcome = await bench.changes.change(
        EVERYTHING, ORDERS, lambda _: Draft(ORDERS, same), options()
    )
    assert outcome.change is None
    assert bench.resources.objects[ORDERS].version == version
    assert bench.history.calls == []
    assert bench.trials.asked == []


async def test_other_labels_are_a_change(bench: Bench) -> None:
    bench.resources.put(route())
    labelled = route()
    labelled["metadata"]["labels"] = {"team": "shop"}
    outcome = await bench.changes.change(
        EVERYTHING, ORDERS, lambda _: Draft(ORDERS, labelled), options()
    )
    assert outcome.change is RevisionChange.UPDATED


async def test_creating_what_is_there_is_a_conflict(bench: Bench) -> None:
    bench.resources.put(route())
    with pytest.raises(ConflictError) as refused:
        await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options())
    assert refused.value.error == "already_exists"
    assert bench.history.calls == []


async def test_creating_it_once_more_with_an_idempotency_key_is_none(bench: Bench) -> None:
    bench.resources.put(route())
    again = options(repeatable=True)
    outcome = await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), again)
    assert outcome.change is None
    with pytest.raises(ConflictError):
        await bench.changes.create(EVERYTHING, Draft(ORDERS, route(priority=1)), again)


async def test_what_is_in_a_namespace_of_others_is_not_there(bench: Bench) -> None:
    bench.resources.put(route())
    for attempt in (
        bench.changes.create(only_in("shop"), Draft(ORDERS, route()), options()),
        bench.changes.change(only_in("shop"), ORDERS, with_timeout(1), options()),
        bench.changes.delete(only_in("shop"), ORDERS, options(force=True)),
    ):
        with pytest.raises(NotFoundError):
            await attempt
    assert bench.history.calls == []


async def test_the_scope_of_the_kind_is_needed(bench: Bench) -> None:
    reader = Principal(
        "k", PrincipalKind.KEY, "k", "o", frozenset(("routes:read", "history:write"))
    )
    with pytest.raises(ScopeMismatchError):
        await bench.changes.create(reader, Draft(ORDERS, route()), options())


async def test_what_was_made_from_something_else_is_changed_there(bench: Bench) -> None:
    ref = ObjectRef("Route", "default", "Ingress:web:0-1")
    with pytest.raises(ConflictError, match="made from Ingress default/web"):
        await bench.changes.delete(EVERYTHING, ref, options())


async def test_a_fatal_finding_refuses_the_change_and_nothing_is_announced(bench: Bench) -> None:
    finding = Finding(
        FindingSource.ENVOY, ORDERS, "/spec/matches/0", "no", "EnvoyRejected", proposal=0
    )
    bench.trials.trial = Trial(findings=(finding,))
    with pytest.raises(UnprocessableError) as refused:
        await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options())
    assert refused.value.details["problems"][0]["source"] == "envoy"
    assert bench.history.calls == []
    assert bench.resources.objects == {}


@pytest.mark.parametrize(
    ("untried", "error"), [(Untried.BUSY, "busy"), (Untried.NOT_READY, "not_ready")]
)
@pytest.mark.parametrize("dry_run", [False, True])
async def test_what_could_not_be_tried_is_refused_for_now_and_not_stored(
    bench: Bench, untried: Untried, error: str, *, dry_run: bool
) -> None:
    bench.trials.trial = Trial(untried=untried, note="not now")
    with pytest.raises(UnavailableError, match="nothing was stored") as refused:
        await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options(dry_run=dry_run))
    assert refused.value.error == error
    assert int(refused.value.headers["retry-after"]) > 0
    assert bench.history.calls == []
    assert bench.resources.objects == {}


@pytest.mark.parametrize("untried", [Untried.OUT_OF_TIME, Untried.NO_ENVOY, Untried.ENVOY_SILENT])
async def test_what_was_tried_in_part_is_stored_and_the_answer_and_the_log_say_so(
    bench: Bench, untried: Untried
) -> None:
    bench.trials.trial = Trial(untried=untried, note="not all of it")
    with capture_logs() as logs:
        outcome = await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options())
    assert ORDERS in bench.resources.objects
    (warning,) = outcome.report.warnings
    assert warning.as_json() == {
        "pointer": "",
        "message": "not all of it",
        "reason": untried.value,
        "source": "trial",
    }
    (line,) = (each for each in logs if each["log_level"] == "warning")
    assert (line["objects"], line["reason"]) == (["Route default/orders"], untried.value)
    assert line["request_id"] == "req_1"


async def test_a_dry_run_that_was_not_tried_to_its_end_is_no_matter_of_the_log(
    bench: Bench,
) -> None:
    bench.trials.trial = Trial(untried=Untried.NO_ENVOY, note="no Envoy")
    with capture_logs() as logs:
        outcome = await bench.changes.create(
            EVERYTHING, Draft(ORDERS, route()), options(dry_run=True)
        )
    assert outcome.report.untried is Untried.NO_ENVOY
    assert logs == []


async def test_findings_about_others_are_not_for_who_does_not_see_them(bench: Bench) -> None:
    other = ObjectRef("Route", "tenant-b", "secret")
    finding = Finding(FindingSource.TRANSLATION, other, "", "lost to Route shop/orders")
    bench.trials.trial = Trial(findings=(finding,))
    made = document("Route", "orders", route()["spec"], "shop")
    ref = ObjectRef("Route", "shop", "orders")
    outcome = await bench.changes.create(only_in("shop"), Draft(ref, made), options())
    assert outcome.report.problems == ()
    with pytest.raises(UnprocessableError, match="tenant-b/secret"):
        await bench.changes.change(
            EVERYTHING,
            ref,
            lambda _: Draft(ref, route(priority=1) | {"metadata": made["metadata"]}),
            options(),
        )


async def test_a_dry_run_ends_before_the_history(bench: Bench) -> None:
    outcome = await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options(dry_run=True))
    assert outcome.dry_run
    assert outcome.change is RevisionChange.CREATED
    assert bench.history.calls == []
    assert bench.resources.objects == {}
    assert len(bench.trials.asked) == 1


async def test_deleting_what_is_used_names_who_uses_it_unless_forced(bench: Bench) -> None:
    pool = ObjectRef("Upstream", "default", "pool")
    bench.resources.put(
        document("Upstream", "pool", {"targets": [{"host": "10.0.0.1", "port": 80}]})
    )
    bench.resources.put(route(backends=[{"kind": "Upstream", "name": "pool"}]))
    with pytest.raises(ConflictError) as refused:
        await bench.changes.delete(EVERYTHING, pool, options())
    assert refused.value.error == "in_use"
    assert refused.value.details == {"used_by": ["Route default/orders"]}
    suffering = Finding(FindingSource.TRANSLATION, ORDERS, "", "has no backend")
    bench.trials.trial = Trial(findings=(suffering,))
    outcome = await bench.changes.delete(EVERYTHING, pool, options(force=True))
    assert outcome.change is RevisionChange.DELETED
    assert outcome.document is None
    assert pool not in bench.resources.objects


async def test_deleting_what_only_the_dry_run_finds_to_be_needed_names_who_suffers(
    bench: Bench,
) -> None:
    bench.resources.put(route())
    gateway = ObjectRef("GatewayConfig", "default", "main")
    listeners = [{"name": "http", "port": 80}]
    bench.resources.put(document("GatewayConfig", "main", {"listeners": listeners}))
    bench.trials.trial = Trial(
        findings=(Finding(FindingSource.TRANSLATION, ORDERS, "", "no gateway", "NoGateway"),)
    )
    with pytest.raises(ConflictError) as refused:
        await bench.changes.delete(EVERYTHING, gateway, options())
    assert refused.value.details == {"used_by": ["Route default/orders"]}


async def test_a_node_that_lags_is_named(bench: Bench) -> None:
    bench.plane.propagation = lambda revision: Propagation(
        revision, True, (), (Lag("envoy-1", LagReason.NOT_SERVING, "does not answer the probe"),)
    )
    bench.resources.put(
        document("GatewayConfig", "main", {"listeners": [{"name": "http", "port": 80}]})
    )
    outcome = await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options())
    assert outcome.sync.status is SyncStatus.PENDING
    assert [(each.node, each.reason) for each in outcome.sync.nodes] == [("envoy-1", "NotServing")]


async def test_a_node_of_a_gateway_the_caller_does_not_see_is_counted_and_not_named(
    bench: Bench,
) -> None:
    bench.plane.propagation = lambda revision: Propagation(
        revision, True, (), (Lag("envoy-1", LagReason.NOT_SERVING, "does not answer the probe"),)
    )
    bench.resources.put(
        document("GatewayConfig", "main", {"listeners": [{"name": "http", "port": 80}]})
    )
    ref = ObjectRef("Route", "shop", "orders")
    made = document("Route", "orders", route()["spec"], "shop")
    outcome = await bench.changes.create(only_in("shop"), Draft(ref, made), options())
    assert outcome.sync.status is SyncStatus.PENDING
    assert (outcome.sync.nodes, outcome.sync.hidden) == ((), 1)


async def test_without_a_node_nothing_is_propagated(bench: Bench) -> None:
    bench.plane.propagation = lambda revision: Propagation(revision, True, (), ())
    outcome = await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options())
    assert outcome.sync.status is SyncStatus.PENDING
    assert outcome.sync.message == "no node is connected"


async def test_a_write_that_is_not_seen_is_pending(bench: Bench) -> None:
    bench.plane.sees = False
    outcome = await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options())
    assert outcome.sync.status is SyncStatus.PENDING
    assert bench.plane.waited == []


async def test_what_envoy_rejects_in_the_end_is_told_in_its_words(bench: Bench) -> None:
    rejected = Condition(ConditionType.PROGRAMMED, False, Reason.ENVOY_REJECTED, "bad regex")
    bench.plane.extra = {ORDERS: ObjectStatus(ORDERS, 0, (rejected,))}
    outcome = await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options())
    assert (outcome.sync.status, outcome.sync.message) == (SyncStatus.REJECTED, "bad regex")


async def test_who_does_not_wait_is_told_what_is_known_at_once(bench: Bench) -> None:
    await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options(wait=False))
    assert bench.plane.waited == [0.0]


async def test_a_rollback_to_what_is_gone_already_is_no_change(bench: Bench) -> None:
    outcome = await bench.changes.change(
        EVERYTHING, ORDERS, lambda _: Draft(ORDERS, None), options(), must=Must.ANY
    )
    assert outcome.change is None
    assert bench.history.calls == []


async def test_putting_what_is_deleted_meanwhile_makes_it_anew(bench: Bench) -> None:
    bench.resources.put(route())
    races = iter((True, False))

    def race() -> None:
        if next(races):
            del bench.resources.objects[ORDERS]

    bench.resources.before_write = race
    draft = Draft(ORDERS, route(priority=2))
    outcome = await bench.changes.change(
        EVERYTHING, ORDERS, lambda _: draft, options(), must=Must.ANY
    )
    assert outcome.change is RevisionChange.CREATED
    assert bench.resources.objects[ORDERS].document["spec"]["priority"] == 2
