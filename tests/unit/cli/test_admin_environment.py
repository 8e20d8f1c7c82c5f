"""Where the settings of the admin API come from, and what keeps it from starting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.gateway import gateway

from fluxgate.ir import ListenerIR
from fluxgate_admin.settings import AdminSettings, SignatureSettings
from fluxgate_cli.admin.environment import VARIABLES, settings_from
from fluxgate_cli.admin.options import Given
from fluxgate_cli.admin.process import Place, check_unsigned, is_loopback
from fluxgate_cli.errors import UsageError

ROOT = Path(__file__).parents[3]
KEYS = {"FLUXGATE_ADMIN_MASTER_KEYS": "one two"}
SQLITE = "sqlite+aiosqlite:///admin.db"


def settings(**environ: str) -> AdminSettings:
    return settings_from({**KEYS, **environ}, Given(), SQLITE)


def test_nothing_starts_without_a_master_key() -> None:
    with pytest.raises(UsageError, match="master key") as refused:
        settings_from({"FLUXGATE_ADMIN_MASTER_KEYS": " , "}, Given(), SQLITE)

    assert "openssl rand -base64 32" in refused.value.remedy


def test_master_keys_keep_their_order_and_print_redacted() -> None:
    found = settings(FLUXGATE_ADMIN_MASTER_KEYS="first,second third")

    assert [each.reveal() for each in found.master_keys] == [b"first", b"second", b"third"]
    assert "first" not in repr(found)


def test_a_file_of_master_keys_wins_over_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("from-file\nolder\n")

    for found in (
        settings(FLUXGATE_ADMIN_MASTER_KEY_FILE=str(file)),
        settings_from(KEYS, Given(master_key_file=file), SQLITE),
    ):
        assert [each.reveal() for each in found.master_keys] == [b"from-file", b"older"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere cannot be read"):
        settings_from({}, Given(master_key_file=tmp_path / "nowhere"), SQLITE)


def test_a_database_has_to_be_named_where_there_is_none_by_default() -> None:
    with pytest.raises(UsageError, match="database"):
        settings_from(KEYS, Given())


def test_the_command_line_wins_over_the_environment() -> None:
    environ = {**KEYS, "FLUXGATE_ADMIN_DATABASE": "sqlite+aiosqlite:///other.db"}

    assert settings_from(environ, Given(), SQLITE).database.endswith("other.db")
    assert settings_from(environ, Given(database=SQLITE), "").database == SQLITE


def test_every_setting_is_read() -> None:
    found = settings(
        FLUXGATE_ADMIN_ISSUER="https://admin.example.com",
        FLUXGATE_ADMIN_KEY_PREFIX="sk_test_",
        FLUXGATE_ADMIN_TRUSTED_PROXIES="10.0.0.0/8 192.0.2.1/32",
        FLUXGATE_ADMIN_WAIT="0.5",
        FLUXGATE_ADMIN_LIMIT_WRITES="7",
        FLUXGATE_ADMIN_HISTORY_DAYS="30",
        FLUXGATE_ADMIN_SIGNATURE_SKEW="60",
    )

    assert found.issuer == "https://admin.example.com"
    assert found.key_prefix == "sk_test_"
    assert found.trusted_proxies == ("10.0.0.0/8", "192.0.2.1/32")
    assert (found.wait, found.limits.writes, found.retention.history_days) == (0.5, 7, 30)
    assert found.signatures == SignatureSettings(required=True, skew=60)


@pytest.mark.parametrize("wrong", ["many", "-1", "1e3", "nan"])
def test_a_number_that_is_none_names_its_variable(wrong: str) -> None:
    with pytest.raises(UsageError, match="FLUXGATE_ADMIN_LIMIT_READS"):
        settings(FLUXGATE_ADMIN_LIMIT_READS=wrong)


def test_a_key_prefix_of_neither_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="KEY_PREFIX"):
        settings(FLUXGATE_ADMIN_KEY_PREFIX="sk_")


def test_every_variable_is_documented_in_the_same_words() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `FLUXGATE_ADMIN_(\w+)` \| (.+) \|$", text, re.MULTILINE))

    assert {name: rows.get(name) for name, _ in VARIABLES} == dict(VARIABLES)


def test_every_documented_variable_is_read() -> None:
    source = (ROOT / "cli/fluxgate_cli/admin/environment.py").read_text(encoding="utf-8")

    assert {name for name, _ in VARIABLES} == set(
        re.findall(r'(?:text|number)\("([A-Z_]+)"', source)
    ) - {"DATABASE"}


@pytest.mark.parametrize(
    ("address", "yes"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("example.com", False)],
)  # fmt: skip
def test_what_is_loopback(address: str, yes: bool) -> None:
    assert is_loopback(address) is yes


def unsigned() -> AdminSettings:
    return settings_from(KEYS, Given(unsigned_writes=True), SQLITE)


def test_unsigned_writes_are_let_in_where_everything_is_on_loopback() -> None:
    check_unsigned(unsigned(), Place("127.0.0.1"), {"main": gateway()})


def test_unsigned_writes_are_refused_where_the_admin_api_listens_for_others() -> None:
    with pytest.raises(UsageError, match=r"0\.0\.0\.0"):
        check_unsigned(unsigned(), Place("0.0.0.0"), {})


def test_unsigned_writes_are_refused_where_the_gateway_listens_for_others() -> None:
    """A route to the admin API would let anybody send them."""
    open_to_all = gateway(listeners=(ListenerIR("http", "0.0.0.0", 8080, "main"),))

    with pytest.raises(UsageError, match="loopback alone"):
        check_unsigned(unsigned(), Place("127.0.0.1"), {"main": open_to_all})


def test_signed_writes_are_let_in_anywhere() -> None:
    check_unsigned(settings(), Place("0.0.0.0"), {})
