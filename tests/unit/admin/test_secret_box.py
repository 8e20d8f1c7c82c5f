"""The secret box: what opens, what does not, and that nothing tells."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from cryptography.fernet import Fernet

from fluxgate.secret import SecretBytes
from fluxgate_admin.secret_box import SecretBox, SecretBoxError

CANARY = SecretBytes(b"fss_canary")


def new_key() -> SecretBytes:
    return SecretBytes(Fernet.generate_key())


def test_what_was_sealed_opens_again() -> None:
    box = SecretBox([new_key()])
    assert box.unseal(box.seal(CANARY, "key_1"), "key_1") == CANARY


def test_what_is_sealed_shows_nothing_and_is_never_the_same_twice() -> None:
    box = SecretBox([new_key()])
    sealed = box.seal(CANARY, "key_1")
    assert "canary" not in sealed
    assert base64.urlsafe_b64decode(sealed).find(b"canary") == -1
    assert box.seal(CANARY, "key_1") != sealed


def test_what_was_copied_into_another_row_does_not_open_there() -> None:
    box = SecretBox([new_key()])
    with pytest.raises(SecretBoxError, match="key_2"):
        box.unseal(box.seal(CANARY, "key_1"), "key_2")


@pytest.mark.parametrize(("one", "other"), [("a", "ab"), ("ab", "a"), ("", "a"), ("a", "")])
def test_a_name_and_a_longer_one_are_told_apart(one: str, other: str) -> None:
    box = SecretBox([new_key()])
    with pytest.raises(SecretBoxError):
        box.unseal(box.seal(SecretBytes(b"b" * 8), one), other)


def test_a_new_key_in_front_seals_and_the_old_one_still_opens() -> None:
    old, new = new_key(), new_key()
    sealed = SecretBox([old]).seal(CANARY, "key_1")
    box = SecretBox([new, old])
    assert box.unseal(sealed, "key_1") == CANARY
    assert not box.is_current(sealed)
    again = box.seal(CANARY, "key_1")
    assert box.is_current(again)
    assert SecretBox([new]).unseal(again, "key_1") == CANARY


def test_without_its_key_nothing_opens_and_the_message_says_what_to_do() -> None:
    sealed = SecretBox([new_key()]).seal(CANARY, "key_1")
    with pytest.raises(SecretBoxError, match="add the key it was sealed with"):
        SecretBox([new_key()]).unseal(sealed, "key_1")


@pytest.mark.parametrize("change", [lambda text: text[:-8], lambda text: "A" + text[1:], str.upper])
def test_what_was_changed_does_not_open(change: Callable[[str], str]) -> None:
    box = SecretBox([new_key()])
    with pytest.raises(SecretBoxError):
        box.unseal(change(box.seal(CANARY, "key_1")), "key_1")


def test_keys_are_taken_as_openssl_and_as_fernet_print_them() -> None:
    raw = b"\xfb\xff" * 16
    standard = SecretBytes(base64.b64encode(raw) + b"\n")
    urlsafe = SecretBytes(base64.urlsafe_b64encode(raw).rstrip(b"="))
    assert b"+" in standard.reveal()
    sealed = SecretBox([standard]).seal(CANARY, "key_1")
    assert SecretBox([urlsafe]).unseal(sealed, "key_1") == CANARY


@pytest.mark.parametrize(
    "key", [b"", b"canary", b"canary" * 20, base64.b64encode(bytes(16)), b"\xff" * 44]
)
def test_a_key_that_is_none_is_refused_by_its_place_and_not_repeated(key: bytes) -> None:
    with pytest.raises(SecretBoxError, match=r"master key 2 .*`openssl rand") as caught:
        SecretBox([new_key(), SecretBytes(key)])
    assert "canary" not in str(caught.value)


def test_without_a_master_key_there_is_no_box() -> None:
    with pytest.raises(SecretBoxError, match="no master key"):
        SecretBox([])
