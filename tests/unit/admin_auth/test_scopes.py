"""Scopes and namespaces: what covers what, and what two credentials have in common."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxgate_admin.auth.scopes import VERBS, beyond, common, common_namespaces, contains, known
from fluxgate_admin.principal import covers

EVERY = sorted({"*", *(f"{name}:{verb}" for name in VERBS for verb in (*VERBS[name], "*"))})
_SCOPES = st.frozensets(st.sampled_from(EVERY), max_size=4)


@pytest.mark.parametrize("scope", EVERY)
def test_what_is_in_the_table_can_be_granted(scope: str) -> None:
    assert known(scope)


@pytest.mark.parametrize("scope", ["", ":", "routes", "routes:", ":read", "routes:fly", "x:read"])
def test_anything_else_cannot(scope: str) -> None:
    assert not known(scope)


@given(_SCOPES, _SCOPES, st.sampled_from(EVERY))
def test_two_credentials_together_may_exactly_what_both_may(
    one: frozenset[str], other: frozenset[str], wanted: str
) -> None:
    both = covers(one, wanted) and covers(other, wanted)
    assert covers(common(one, other), wanted) == both


@given(_SCOPES, _SCOPES)
def test_what_is_beyond_is_what_is_not_covered(own: frozenset[str], asked: frozenset[str]) -> None:
    assert set(beyond(asked, own)) == {each for each in asked if not covers(own, each)}


def test_a_weaker_verb_covers_no_stronger_one() -> None:
    assert beyond({"configs:admin"}, frozenset({"configs:write"})) == ["configs:admin"]
    assert beyond({"routes:*"}, frozenset({"routes:write"})) == ["routes:*"]


def test_all_namespaces_contain_some_and_not_the_other_way_round() -> None:
    some = frozenset({"shop"})
    assert contains(None, some)
    assert contains(None, None)
    assert not contains(some, None)
    assert not contains(some, frozenset({"shop", "bank"}))
    assert common_namespaces(None, some) == common_namespaces(some, None) == some
    assert common_namespaces(some, frozenset({"bank"})) == frozenset()
