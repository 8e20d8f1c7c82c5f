"""The log of calls: whose record a call is, who reads it, and where pages begin."""

from __future__ import annotations

import base64
import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.admin_fakes import EVERYTHING, NOW, only_in

from fluxgate_admin.errors import UnprocessableError
from fluxgate_admin.principal import Principal, PrincipalKind
from fluxgate_admin.use_cases.audit import (
    STATUSES,
    AuditTrail,
    credential_id,
    cursor_of,
    moment,
    namespaces_of,
    outcome_of,
    read_cursor,
    sight_of,
)
from fluxgate_admin.use_cases.ports import (
    AuditPage,
    AuditPlace,
    AuditQuery,
    AuditRecord,
    AuditSight,
)

POD = Principal(
    "system:serviceaccount:ci:deployer",
    PrincipalKind.KUBERNETES,
    "deployer",
    "kubernetes",
    frozenset(("audit:read",)),
    frozenset(("shop",)),
)


def test_a_call_names_what_its_caller_sees_and_what_its_path_names() -> None:
    assert namespaces_of(only_in("shop", "bank"), "") == {"shop", "bank"}
    assert namespaces_of(only_in("shop"), "shop") == {"shop"}
    assert namespaces_of(only_in("shop"), "bank") == {"shop", "bank"}


def test_a_call_of_a_service_account_also_names_where_that_lives() -> None:
    assert namespaces_of(POD, "") == {"shop", "ci"}


@pytest.mark.parametrize(
    ("principal", "named"),
    [
        (None, ""),
        (None, "shop"),
        (EVERYTHING, "shop"),
        (only_in(), ""),
        (replace(POD, namespaces=None), ""),
        (only_in("shop"), "no namespace"),
        (only_in("shop"), "SHOP"),
        (only_in("shop"), "/"),
        (only_in("shop"), "shop\n"),
    ],
    ids=str,
)
def test_what_may_name_anything_is_for_who_sees_everything(
    principal: Principal | None, named: str
) -> None:
    assert namespaces_of(principal, named) is None


def test_who_sees_all_namespaces_reads_everything_and_others_their_own() -> None:
    assert sight_of(EVERYTHING) is None
    assert sight_of(POD) == AuditSight("kubernetes", frozenset(("shop",)))
    assert sight_of(only_in()) == AuditSight(only_in().organisation, frozenset())


class Asked:
    """A log that keeps what it was asked."""

    def __init__(self) -> None:
        self.queries: list[AuditQuery] = []

    async def record(self, record: AuditRecord) -> None:
        raise AssertionError(record)

    async def page(self, query: AuditQuery) -> AuditPage:
        self.queries.append(query)
        return AuditPage((), None)


async def test_no_query_gives_itself_another_sight_than_its_callers() -> None:
    log = Asked()
    for forged in (None, AuditSight("other", frozenset(("bank",)))):
        await AuditTrail(log).page(POD, AuditQuery(sight=forged))
    assert {each.sight for each in log.queries} == {sight_of(POD)}


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        ("key_1", "key_1"),
        ("key:ci (key_1)", "key_1"),
        ("key:odd (key_2) name (key_1)", "key_1"),
        ("kubernetes:ci (system:serviceaccount:shop:ci)", "system:serviceaccount:shop:ci"),
        ("key:no end (key_1", "key:no end (key_1"),
        ("", ""),
    ],
)
def test_a_caller_is_named_by_its_id_or_as_records_name_it(text: str, id_: str) -> None:
    assert credential_id(text) == id_


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((0, "unanswered"), (100, "accepted"), (202, "accepted"), (304, "accepted")),
        *((399, "accepted"), (400, "refused"), (429, "refused"), (503, "refused")),
    ],
)
def test_every_status_has_an_outcome(status: int, outcome: str) -> None:
    assert outcome_of(status) == outcome
    low, high = STATUSES[outcome_of(status)]
    assert low <= status <= high


@given(
    st.datetimes(timezones=st.just(dt.UTC)),
    st.integers(min_value=1, max_value=2**63 - 1),
)
def test_a_cursor_leads_back_to_its_place(at: dt.datetime, number: int) -> None:
    place = AuditPlace(at, number)
    assert read_cursor(cursor_of(place)) == place


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda each: each.hex()))
def test_no_text_is_taken_for_a_cursor_that_it_is_not(text: str) -> None:
    try:
        found = read_cursor(text)
    except UnprocessableError:
        return
    assert found is None or read_cursor(cursor_of(found)) == found


@pytest.mark.parametrize(
    "place",
    [
        AuditPlace(NOW, 0),
        AuditPlace(NOW, 2**63),
        AuditPlace(NOW.replace(tzinfo=None), 1),
    ],
    ids=str,
)
def test_a_place_that_cannot_be_is_no_cursor(place: AuditPlace) -> None:
    forged = base64.urlsafe_b64encode(f"{place.at.isoformat()} {place.number}".encode())
    with pytest.raises(UnprocessableError):
        read_cursor(forged.decode().rstrip("="))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2030-05-17T12:00:00Z", dt.datetime(2030, 5, 17, 12, tzinfo=dt.UTC)),
        ("2030-05-17T12:00:00.5+02:00", dt.datetime(2030, 5, 17, 10, 0, 0, 500_000, tzinfo=dt.UTC)),
        (None, None),
    ],
)
def test_a_moment_is_read_with_its_zone(text: str | None, found: dt.datetime | None) -> None:
    assert moment("since", text) == found


@pytest.mark.parametrize(
    "text", ["2030-02-30T12:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00"]
)
def test_a_moment_that_there_is_not_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(UnprocessableError, match="since"):
        moment("since", text)
