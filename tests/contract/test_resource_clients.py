"""What every place that keeps objects does alike: the contract of ``fluxgate.ports.ResourceClient``."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator

import pytest
from contract.conftest import Fragile, Place

from fluxgate.api.canonical import canonical, digest
from fluxgate.errors import (
    ResourceConflictError,
    ResourceError,
    ResourceExistsError,
    ResourceNotFoundError,
    ResourceStoreUnavailableError,
)
from fluxgate.ports import ChangeType, ResourceChange

TIMEOUT = 30.0


@contextlib.asynccontextmanager
async def following(place: Place, *kinds: str) -> AsyncIterator[AsyncIterator[ResourceChange]]:
    """What a watch tells of this test's namespace."""
    stream = place.client.watch(kinds or ("Upstream",))

    async def ours() -> AsyncIterator[ResourceChange]:
        async for change in stream:
            if change.ref is None or change.ref.namespace == place.namespace:
                yield change

    async with contextlib.aclosing(stream), contextlib.aclosing(ours()) as found:
        yield found


async def told(stream: AsyncIterator[ResourceChange], count: int = 1) -> list[tuple[str, str]]:
    """The next news, as (what, name)."""
    async with asyncio.timeout(TIMEOUT):
        news = [await anext(stream) for _ in range(count)]
    return [(each.type.value, each.ref.name if each.ref else "") for each in news]


async def test_what_was_created_reads_as_it_was_written(place: Place):
    document = place.document("a", labels={"tier": "gold"}, annotations={"example.com/by": "on"})
    made = await place.client.create(document)
    assert made == await place.client.get(place.ref("a"))
    assert made.ref == place.ref("a")
    assert made.document["metadata"] == canonical(document)["metadata"]
    assert made.document["spec"]["targets"][0]["host"] == "192.0.2.1"
    assert made.version
    assert made.manager
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(made.created_at)
    assert abs(age) < dt.timedelta(minutes=5)


async def test_a_list_is_in_order_and_by_kind_and_namespace(place: Place):
    for name in ("b", "a.b", "a"):
        await place.client.create(place.document(name))
    names = [each.ref.name for each in await place.client.list("Upstream", place.namespace)]
    assert names == ["a", "a.b", "b"]
    assert await place.client.list("Upstream", "nobody-has-this") == ()
    assert await place.client.list("Route", place.namespace) == ()
    everywhere = await place.client.list("Upstream")
    assert [each.ref for each in everywhere] == sorted(each.ref for each in everywhere)
    assert {place.ref(name) for name in names} <= {each.ref for each in everywhere}


async def test_what_others_wrote_is_there(place: Place):
    await place.put(place.document("theirs", "192.0.2.9"))
    found = await place.client.get(place.ref("theirs"))
    assert found.document["spec"]["targets"][0]["host"] == "192.0.2.9"
    assert [each.ref for each in await place.client.list("Upstream", place.namespace)] == [
        place.ref("theirs")
    ]
    await place.remove(place.ref("theirs"))
    with pytest.raises(ResourceNotFoundError, match="theirs"):
        await place.client.get(place.ref("theirs"))


async def test_what_is_not_there_cannot_be_read_replaced_or_deleted(place: Place):
    with pytest.raises(ResourceNotFoundError):
        await place.client.get(place.ref("a"))
    with pytest.raises(ResourceNotFoundError):
        await place.client.replace(place.document("a"), "1")
    with pytest.raises(ResourceNotFoundError):
        await place.client.delete(place.ref("a"))
    with pytest.raises(ResourceNotFoundError):
        await place.client.delete(place.ref("a"), "1")


async def test_what_is_there_cannot_be_created_again(place: Place):
    made = await place.client.create(place.document("a"))
    with pytest.raises(ResourceExistsError):
        await place.client.create(place.document("a", "192.0.2.2"))
    await place.put(place.document("theirs"))
    with pytest.raises(ResourceExistsError):
        await place.client.create(place.document("theirs", "192.0.2.2"))
    assert await place.client.get(place.ref("a")) == made


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"spec": {"targets": "all"}}, "spec.targets"),
        ({"spec": {"nothing": 1}}, "spec.nothing"),
        ({"kind": "Upstram"}, "kind"),
        ({"metadata": {"name": "../../etc/passwd"}}, "metadata.name"),
    ],
)
async def test_an_invalid_document_names_its_field_and_is_not_kept(
    place: Place, change: dict, path: str
):
    document = {**place.document("a"), **change}
    with pytest.raises(ResourceError) as refused:
        await place.client.create(document)
    assert path in [each.path for each in refused.value.problems]
    with pytest.raises(ResourceError):
        await place.client.replace(document, "1")
    assert await place.client.list("Upstream", place.namespace) == ()


async def test_kinds_of_others_are_not_written_here(place: Place):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": place.document("a")["metadata"]}
    with pytest.raises(ResourceError, match="kind: is not one of ApiKey"):
        await place.client.create({**secret, "stringData": {"key": "value"}})


async def test_only_the_version_that_is_there_can_be_replaced(place: Place):
    first = await place.client.create(place.document("a", "192.0.2.1"))
    second = await place.client.replace(place.document("a", "192.0.2.2"), first.version)
    assert second.version != first.version
    assert second.document["spec"]["targets"][0]["host"] == "192.0.2.2"
    assert second.created_at == first.created_at
    with pytest.raises(ResourceConflictError):
        await place.client.replace(place.document("a", "192.0.2.3"), first.version)
    assert await place.client.get(place.ref("a")) == second


async def test_what_others_changed_meanwhile_is_not_lost(place: Place):
    await place.put(place.document("a", "192.0.2.1"))
    read = await place.client.get(place.ref("a"))
    await place.put(place.document("a", "192.0.2.2"))
    with pytest.raises(ResourceConflictError):
        await place.client.replace(place.document("a", "192.0.2.3"), read.version)
    with pytest.raises(ResourceConflictError):
        await place.client.delete(place.ref("a"), read.version)
    found = await place.client.get(place.ref("a"))
    assert found.document["spec"]["targets"][0]["host"] == "192.0.2.2"


async def test_an_equal_document_writes_nothing(place: Place):
    first = await place.client.create(place.document("a"))
    again = await place.client.replace(first.document, first.version)
    assert again.version == first.version
    assert (await place.client.get(place.ref("a"))).version == first.version


async def test_labels_and_annotations_come_and_go(place: Place):
    made = await place.client.create(place.document("a", labels={"x": "1"}))
    wanted = place.document("a", annotations={"example.com/why": "because"})
    changed = await place.client.replace(wanted, made.version)
    assert "labels" not in changed.document["metadata"]
    assert changed.document["metadata"]["annotations"] == {"example.com/why": "because"}
    bare = await place.client.replace(place.document("a"), changed.version)
    assert "annotations" not in bare.document["metadata"]


async def test_bookkeeping_is_not_the_users_and_outlives_a_replacement(place: Place):
    kept = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    await place.put(place.document("a", annotations={**kept, "example.com/x": "1"}))
    read = await place.client.get(place.ref("a"))
    assert read.document["metadata"]["annotations"] == {"example.com/x": "1"}
    changed = await place.client.replace(place.document("a", "192.0.2.2"), read.version)
    assert "annotations" not in changed.document["metadata"]
    # who put it there finds it again: equal but for the bookkeeping is equal
    assert digest(place.document("a", "192.0.2.2", annotations=kept)) == digest(
        place.document("a", "192.0.2.2")
    )


async def test_a_deletion_can_be_bound_to_a_version(place: Place):
    made = await place.client.create(place.document("a"))
    changed = await place.client.replace(place.document("a", "192.0.2.2"), made.version)
    with pytest.raises(ResourceConflictError):
        await place.client.delete(place.ref("a"), made.version)
    await place.client.delete(place.ref("a"), changed.version)
    with pytest.raises(ResourceNotFoundError):
        await place.client.get(place.ref("a"))
    await place.client.create(place.document("a"))
    await place.client.delete(place.ref("a"))
    assert await place.client.list("Upstream", place.namespace) == ()


async def test_a_dry_run_gives_the_object_as_it_would_be_and_keeps_nothing(place: Place):
    made = await place.client.create(place.document("a"))
    tried = await place.client.create(place.document("b"), dry_run=True)
    assert (tried.ref, tried.document["spec"]["targets"][0]["host"]) == (
        place.ref("b"),
        "192.0.2.1",
    )
    wanted = place.document("a", "192.0.2.2", labels={"x": "1"})
    tried = await place.client.replace(wanted, made.version, dry_run=True)
    assert tried.document["spec"]["targets"][0]["host"] == "192.0.2.2"
    assert tried.document["metadata"]["labels"] == {"x": "1"}
    assert tried.created_at == made.created_at
    same = await place.client.replace(place.document("a"), made.version, dry_run=True)
    assert same.document == made.document
    await place.client.delete(place.ref("a"), dry_run=True)
    await place.client.delete(place.ref("a"), made.version, dry_run=True)
    async with place.another() as other:
        for client in (place.client, other):
            assert await client.list("Upstream", place.namespace) == (made,)


async def test_a_dry_run_is_refused_as_the_write_would_be(place: Place):
    made = await place.client.create(place.document("a"))
    changed = await place.client.replace(place.document("a", "192.0.2.2"), made.version)
    for dry_run in (True, False):
        with pytest.raises(ResourceExistsError):
            await place.client.create(place.document("a"), dry_run=dry_run)
        with pytest.raises(ResourceError):
            await place.client.create(
                {**place.document("b"), "spec": {"targets": "all"}}, dry_run=dry_run
            )
        wanted = place.document("a", "192.0.2.3")
        with pytest.raises(ResourceConflictError):
            await place.client.replace(wanted, made.version, dry_run=dry_run)
        with pytest.raises(ResourceConflictError):
            await place.client.delete(place.ref("a"), made.version, dry_run=dry_run)
        with pytest.raises(ResourceNotFoundError):
            await place.client.replace(place.document("b"), "1", dry_run=dry_run)
        for version in (None, "1"):
            with pytest.raises(ResourceNotFoundError):
                await place.client.delete(place.ref("b"), version, dry_run=dry_run)
    assert await place.client.list("Upstream", place.namespace) == (changed,)


async def test_a_dry_run_is_no_news(place: Place):
    made = await place.client.create(place.document("a"))
    async with following(place) as news:
        assert await told(news, 2) == [("Present", "a"), ("Synced", "")]
        await place.client.create(place.document("b"), dry_run=True)
        await place.client.replace(place.document("a", "192.0.2.2"), made.version, dry_run=True)
        await place.client.delete(place.ref("a"), made.version, dry_run=True)
        await place.client.create(place.document("c"))
        assert await told(news) == [("Changed", "c")]


async def test_of_writers_at_once_one_wins_and_the_others_are_told(place: Place):
    async with place.another() as other:
        clients = [place.client, other] * 4
        created = await asyncio.gather(
            *(
                client.create(place.document("a", f"192.0.2.{number}"))
                for number, client in enumerate(clients)
            ),
            return_exceptions=True,
        )
        (made,) = (each for each in created if not isinstance(each, BaseException))
        assert sum(isinstance(each, ResourceExistsError) for each in created) == 7
        replaced = await asyncio.gather(
            *(
                client.replace(place.document("a", f"192.0.3.{number}"), made.version)
                for number, client in enumerate(clients)
            ),
            return_exceptions=True,
        )
        (won,) = (each for each in replaced if not isinstance(each, BaseException))
        assert sum(isinstance(each, ResourceConflictError) for each in replaced) == 7
        for client in (place.client, other):
            assert await client.get(place.ref("a")) == won


async def test_a_watch_says_what_is_there_and_then_what_changes(place: Place):
    made = await place.client.create(place.document("a"))
    await place.put(place.document("theirs"))
    async with following(place) as news:
        assert sorted(await told(news, 2)) == [("Present", "a"), ("Present", "theirs")]
        assert await told(news) == [("Synced", "")]
        changed = await place.client.replace(place.document("a", "192.0.2.2"), made.version)
        async with asyncio.timeout(TIMEOUT):
            change = await anext(news)
        assert change == ResourceChange(ChangeType.CHANGED, place.ref("a"), changed)
        await place.put(place.document("theirs", "192.0.2.3"))
        assert await told(news) == [("Changed", "theirs")]
        await place.client.create(place.document("new"))
        assert await told(news) == [("Changed", "new")]
        await place.client.delete(place.ref("a"))
        async with asyncio.timeout(TIMEOUT):
            gone = await anext(news)
        assert (gone.type, gone.ref) == (ChangeType.DELETED, place.ref("a"))
        assert gone.stored is not None
        assert gone.stored.document == changed.document
        await place.remove(place.ref("theirs"))
        assert await told(news) == [("Deleted", "theirs")]


async def test_an_equal_write_of_others_is_no_news(place: Place):
    await place.put(place.document("a"))
    async with following(place) as news:
        assert await told(news, 2) == [("Present", "a"), ("Synced", "")]
        await place.put(
            place.document(
                "a", annotations={"gateway.fluxgate.io/created-at": "2024-01-02T03:04:05Z"}
            )
        )
        await place.put(place.document("b"))
        assert await told(news) == [("Changed", "b")]


async def test_a_watch_tells_of_the_kinds_it_was_asked_for(place: Place):
    await place.client.create(place.document("a"))
    async with following(place, "Tenant", "Backend") as news:
        assert await told(news) == [("Synced", "")]
        await place.client.create(place.document("b"))
        backend = {
            **place.document("c"),
            "kind": "Backend",
            "spec": {"url": "http://c.example.com"},
        }
        await place.client.create(backend)
        assert await told(news) == [("Changed", "c")]


async def test_two_watches_do_not_take_news_from_each_other(place: Place):
    async with following(place) as one, following(place) as other:
        assert await told(one) == await told(other) == [("Synced", "")]
        await place.client.create(place.document("a"))
        assert await told(one) == await told(other) == [("Changed", "a")]


async def test_a_closed_watch_leaves_nothing_running(place: Place):
    await place.client.list("Upstream", place.namespace)
    before = len(asyncio.all_tasks())
    async with following(place) as news:
        assert await told(news) == [("Synced", "")]
    assert len(asyncio.all_tasks()) == before


async def test_a_caller_that_gives_up_does_not_break_what_comes_after(place: Place):
    made = await place.client.create(place.document("a", "192.0.2.1"))
    async with place.another() as other:
        for number in range(20):
            await place.put(place.document("theirs", f"192.0.3.{number}"))
            calls = (
                place.client.list("Upstream"),
                place.client.replace(place.document("a", f"192.0.4.{number}"), made.version),
            )
            given_up = [asyncio.create_task(each) for each in calls]
            for _ in range(number % 7):
                await asyncio.sleep(0)
            for each in given_up:
                each.cancel()
            await asyncio.gather(*given_up, return_exceptions=True)
            for name in ("a", "theirs"):
                async with asyncio.timeout(TIMEOUT):  # what was given up may come through late
                    while await other.get(place.ref(name)) != await place.client.get(
                        place.ref(name)
                    ):
                        pass
            made = await place.client.get(place.ref("a"))


async def test_without_its_place_every_method_says_so(fragile: Fragile):
    place = fragile.place
    made = await place.client.create(place.document("a"))
    fragile.cut()
    calls = (
        place.client.list("Upstream"),
        place.client.get(place.ref("a")),
        place.client.create(place.document("b")),
        place.client.replace(place.document("a", "192.0.2.2"), made.version),
        place.client.delete(place.ref("a")),
        place.client.create(place.document("b"), dry_run=True),
        place.client.replace(place.document("a", "192.0.2.2"), made.version, dry_run=True),
        place.client.delete(place.ref("a"), dry_run=True),
    )
    for call in calls:
        with pytest.raises(ResourceStoreUnavailableError):
            await call
    fragile.heal()
    assert (await place.client.get(place.ref("a"))).document == made.document
    changed = await place.client.replace(place.document("a", "192.0.2.2"), made.version)
    assert changed.version != made.version
