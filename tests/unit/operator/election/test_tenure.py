"""The rules of leader election, by a clock the test turns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fluxgate_operator.election.record import LeaseRecord, micro_time, whole_seconds
from fluxgate_operator.election.tenure import Tenure
from fluxgate_operator.settings import LeaseSettings

SETTINGS = LeaseSettings(duration=15, renew_deadline=10, retry_period=2)
THEIRS = LeaseRecord("other", 15, "a", "r1", 3, "7")


def candidate() -> Tenure:
    return Tenure("me", SETTINGS)


def leader(at: float = 100.0) -> Tenure:
    tenure = candidate()
    tenure.observe(None, at)
    tenure.granted(replace(tenure.wanted("now"), version="1"), at, at + 0.01)
    return tenure


def test_nobody_leads_before_the_first_grant() -> None:
    tenure = candidate()
    assert not tenure.leading(0.0)
    assert tenure.holder == ""


def test_a_lease_that_is_not_there_may_be_created() -> None:
    tenure = candidate()
    tenure.observe(None, 5.0)
    assert tenure.may_ask(5.0)
    wanted = tenure.wanted("now")
    assert (wanted.holder, wanted.transitions, wanted.version) == ("me", 0, "")


def test_tenure_is_counted_from_before_the_request() -> None:
    tenure = leader(at=100.0)
    assert tenure.leading(109.9)
    assert not tenure.leading(110.0)
    assert tenure.remaining(104.0) == 6.0


def test_a_leader_that_slept_past_its_deadline_does_not_lead_when_it_wakes_up() -> None:
    assert not leader(at=100.0).leading(4000.0)


def test_a_lease_of_another_is_respected_from_when_it_was_seen_whatever_its_times_say() -> None:
    tenure = candidate()
    tenure.observe(THEIRS, 100.0)
    assert not tenure.may_ask(114.9)
    assert tenure.may_ask(115.0)


def test_every_renewal_seen_starts_the_wait_again() -> None:
    tenure = candidate()
    tenure.observe(THEIRS, 100.0)
    tenure.observe(THEIRS, 105.0)
    tenure.observe(replace(THEIRS, renew_time="r2", version="8"), 110.0)
    assert not tenure.may_ask(124.9)
    assert tenure.may_ask(125.0)


def test_the_duration_is_the_one_its_holder_wrote() -> None:
    tenure = candidate()
    tenure.observe(replace(THEIRS, duration=40), 100.0)
    assert not tenure.may_ask(139.0)


def test_taking_over_counts_a_transition_and_names_the_version_it_replaces() -> None:
    tenure = candidate()
    tenure.observe(THEIRS, 100.0)
    wanted = tenure.wanted("now")
    assert (wanted.transitions, wanted.version, wanted.acquire_time) == (4, "7", "now")


def test_renewing_keeps_the_time_of_acquisition() -> None:
    wanted = leader().wanted("later")
    assert (wanted.acquire_time, wanted.renew_time, wanted.transitions) == ("now", "later", 0)


def test_seeing_another_holder_ends_the_tenure_at_once() -> None:
    tenure = leader(at=100.0)
    tenure.observe(THEIRS, 101.0)
    assert not tenure.leading(101.0)


def test_a_lease_that_was_deleted_ends_the_tenure_at_once() -> None:
    tenure = leader(at=100.0)
    tenure.observe(None, 101.0)
    assert not tenure.leading(101.0)


def test_a_released_lease_is_free_at_once() -> None:
    tenure, other = leader(), candidate()
    released = tenure.released("now")
    assert released is not None
    assert (released.holder, released.version) == ("", "1")
    other.observe(released, 200.0)
    assert other.may_ask(200.0)


def test_only_ones_own_lease_is_released() -> None:
    tenure = candidate()
    tenure.observe(THEIRS, 1.0)
    assert tenure.released("now") is None


def test_a_container_that_starts_again_goes_on_with_its_own_lease() -> None:
    tenure = candidate()
    tenure.observe(replace(THEIRS, holder="me"), 1.0)
    assert not tenure.leading(1.0)
    assert tenure.may_ask(1.0)


def test_a_deadline_as_long_as_the_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter than its duration"):
        Tenure("me", LeaseSettings(duration=10, renew_deadline=10))


@pytest.mark.parametrize(("seconds", "whole"), [(0.2, 1), (1.0, 1), (1.1, 2), (15.0, 15)])
def test_a_duration_is_written_in_whole_seconds_and_never_shorter(
    seconds: float, whole: int
) -> None:
    assert whole_seconds(seconds) == whole


def test_a_record_survives_its_document() -> None:
    record = LeaseRecord("me", 15, micro_time(), micro_time(), 2, "9")
    assert LeaseRecord.of(record.document("ns", "name")) == record


def test_an_empty_lease_reads_as_released() -> None:
    assert LeaseRecord.of({"metadata": {}}) == LeaseRecord("", 0, "", "", 0, "")
