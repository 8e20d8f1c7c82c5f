"""Events and lists of one kind, in any order, end in the true state."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from fluxgate_operator.providers.kubernetes.versions import Versions, comparable

A = ("default", "a")


def test_only_decimal_numbers_can_be_compared():
    assert comparable("17") == 17
    assert [comparable(each) for each in ("", "1-2", None, 3, "٣")] == [None] * 5


def test_the_same_version_is_no_news():
    versions = Versions()
    assert versions.seen(A, 5)
    assert not versions.seen(A, 5)
    assert not versions.listed(A, 5)


def test_an_older_event_does_not_overwrite():
    versions = Versions()
    versions.seen(A, 7)
    assert not versions.seen(A, 5)
    assert not versions.deleted(A, 6)
    assert A in versions


def test_a_deletion_newer_than_a_list_is_not_undone_by_it():
    versions = Versions()
    versions.listing(10)
    assert not versions.deleted(A, 11)
    assert not versions.listed(A, 8)
    assert versions.complete(10, [A]) == []
    assert A not in versions
    assert not versions.seen(A, 8)


def test_what_was_made_after_a_list_stays():
    versions = Versions()
    versions.listing(10)
    versions.seen(A, 11)
    assert versions.complete(10, []) == []
    assert A in versions


def test_what_a_list_does_not_hold_is_gone_and_late_events_do_not_bring_it_back():
    versions = Versions()
    versions.seen(A, 5)
    versions.listing(10)
    assert versions.complete(10, []) == [A]
    assert not versions.seen(A, 9)


def test_an_object_made_again_under_the_same_name_is_news():
    versions = Versions()
    versions.seen(A, 5)
    assert versions.deleted(A, 6)
    assert versions.seen(A, 7)


def test_a_server_that_went_back_in_time_is_believed():
    versions = Versions()
    versions.listing(100)
    versions.listed(A, 90)
    versions.complete(100, [A])
    versions.listing(50)
    assert versions.listed(A, 40)
    assert versions.complete(50, [A]) == []


@dataclass
class Server:
    """An API server's history of three names: what it holds at each version."""

    version: int = 0
    objects: dict = field(default_factory=dict)
    events: list = field(default_factory=list)

    def write(self, name: str, delete: bool) -> None:
        if delete and name not in self.objects:
            return
        self.version += 1
        if delete:
            del self.objects[name]
        else:
            self.objects[name] = self.version
        self.events.append((("default", name), self.version, delete))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from("abc"), st.booleans()),
        st.tuples(st.just("event"), st.integers(0, 40)),
        st.tuples(st.just("list")),
        st.tuples(st.just("page")),
        st.tuples(st.just("end")),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(STEPS)
def test_any_interleaving_of_events_and_lists_is_true_after_the_last_list(steps):
    """Events come late, twice, out of order or never; lists overlap with all of it."""
    server, versions, held = Server(), Versions(), {}
    running: list | None = None

    def finish(at, objects, left):
        held.update({key: version for key, version in left if versions.listed(key, version)})
        for key in versions.complete(at, objects):
            del held[key]

    for step in steps:
        match step:
            case ("write", name, delete):
                server.write(name, delete)
            case ("event", number) if server.events:
                key, version, deleted = server.events[number % len(server.events)]
                if deleted:
                    if versions.deleted(key, version):
                        del held[key]
                elif versions.seen(key, version):
                    held[key] = version
            case ("list",) if running is None:
                found = {("default", name): at for name, at in server.objects.items()}
                running = [server.version, found, list(found.items())]
                versions.listing(server.version)
            case ("page",) if running and running[2]:
                key, version = running[2].pop()
                if versions.listed(key, version):
                    held[key] = version
            case ("end",) if running:
                finish(*running)
                running = None
    if running:
        finish(*running)
    found = {("default", name): at for name, at in server.objects.items()}
    versions.listing(server.version)
    finish(server.version, found, list(found.items()))
    assert held == found
    assert len(versions) == len(found)
