"""Contexts: where they are kept, who may read them, what wins, and what is never sent or shown."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml
from support.commandline import Fluxgate

from fluxgate_cli.admin_client.choosing import chosen_context
from fluxgate_cli.admin_client.contexts import contexts_path
from fluxgate_cli.errors import ExitCode, UsageError

CANARY = "sk_live_canary0123456789"
SERVER = "https://admin.example.com"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without contexts, and an environment that says nothing of them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("API", "SERVER", "KEY", "SIGNING_SECRET", "TOKEN", "CONTEXTS", "CLIENT_ID"):
        monkeypatch.delenv(f"FLUXGATE_{name}", raising=False)
    return tmp_path


def test_the_first_context_is_the_current_one_and_the_file_is_its_owners_alone(
    fluxgate: Fluxgate, home: Path
) -> None:
    assert fluxgate("context", "set", "a", "--server", SERVER, "--key", CANARY).code == 0
    assert fluxgate("context", "set", "b", "--server", SERVER).code == 0
    file = home / "fluxgate" / "config.yaml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert yaml.safe_load(file.read_text())["current"] == "a"
    listed = fluxgate("context", "list")
    assert CANARY not in listed.out + listed.err
    assert fluxgate("context", "use", "b").code == 0
    assert fluxgate("context", "delete", "b").code == 0
    assert "current" not in yaml.safe_load(file.read_text())
    assert fluxgate("context", "use", "b").code == ExitCode.USAGE


def test_secrets_that_others_may_read_are_refused_and_names_of_files_are_not(
    fluxgate: Fluxgate, home: Path
) -> None:
    fluxgate("context", "set", "a", "--server", SERVER, "--key", CANARY)
    file = home / "fluxgate" / "config.yaml"
    file.chmod(0o644)
    refused = fluxgate("context", "list")
    assert refused.code == ExitCode.USAGE
    assert "chmod 600" in refused.err
    file.write_text(f"contexts: {{a: {{server: '{SERVER}', key: {{file: /x}}}}}}")
    assert fluxgate("context", "list").code == 0


def test_another_credential_takes_the_place_of_the_one_before(
    fluxgate: Fluxgate, home: Path
) -> None:
    fluxgate("context", "set", "a", "--server", SERVER, "--key", CANARY, "--secret", "fss_x")
    assert fluxgate("context", "set", "a", "--token-file", home / "token").code == 0
    kept = yaml.safe_load((home / "fluxgate" / "config.yaml").read_text())["contexts"]["a"]
    assert set(kept) == {"server", "token"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("contexts: {a: {server: ftp://x}}", "contexts.a.server"),
        ("contexts: {a: {server: 'https://user:pass@x'}}", "contexts.a.server"),
        (f"contexts: {{a: {{server: '{SERVER}', kee: {{value: {CANARY}}}}}}}", "contexts.a.kee"),
        (f"contexts: {{a: {{server: '{SERVER}', key: {{value: {CANARY}, file: x}}}}}}", "a.key"),
        ("contexts: [", "not YAML"),
    ],
)
def test_a_file_that_is_wrong_is_told_by_its_place_and_without_what_stands_there(
    fluxgate: Fluxgate, home: Path, text: str, words: str
) -> None:
    file = home / "fluxgate" / "config.yaml"
    file.parent.mkdir()
    file.write_text(text)
    file.chmod(0o600)
    refused = fluxgate("context", "list")
    assert refused.code == ExitCode.USAGE
    assert words in refused.err
    assert CANARY not in refused.err


@pytest.mark.parametrize(
    "server", ["http://admin.example.com", "http://127.0.0.1.example.com", "http://10.0.0.1"]
)
def test_no_credential_goes_unencrypted_over_a_network_unless_that_is_allowed(
    fluxgate: Fluxgate, home: Path, server: str
) -> None:
    refused = fluxgate("context", "set", "a", "--server", server)
    assert refused.code == ExitCode.USAGE
    assert "not HTTPS" in refused.err
    assert fluxgate("context", "set", "a", "--server", server, "--allow-http").code == 0
    with pytest.raises(UsageError):
        chosen_context(None, {"FLUXGATE_SERVER": server, "HOME": str(home)})


@pytest.mark.parametrize("server", ["http://127.0.0.1:1", "http://localhost", "http://[::1]:8090"])
def test_loopback_needs_no_encryption(home: Path, server: str) -> None:
    assert chosen_context(None, {"FLUXGATE_SERVER": server, "HOME": str(home)}).server == server


def test_the_environment_wins_and_its_credential_comes_whole(
    fluxgate: Fluxgate, home: Path
) -> None:
    fluxgate("context", "set", "a", "--server", SERVER, "--key", CANARY, "--secret", "fss_x")
    environ = {"XDG_CONFIG_HOME": str(home), "FLUXGATE_KEY": "sk_live_other"}
    chosen = chosen_context(None, environ)
    assert chosen.server == SERVER
    assert chosen.key is not None
    assert chosen.key.read("key") == "sk_live_other"
    assert chosen.signing_secret is None
    with pytest.raises(UsageError, match="one of key, token"):
        chosen_context(None, {**environ, "FLUXGATE_TOKEN": "t"})
    with pytest.raises(UsageError, match="no context 'b'"):
        chosen_context("b", environ)


def test_a_secret_comes_from_a_file_or_a_command_and_is_never_shown(
    home: Path, fluxgate: Fluxgate
) -> None:
    (home / "key").write_text(f"{CANARY}\n")
    environ = {"FLUXGATE_SERVER": SERVER, "HOME": str(home)}
    by_file = chosen_context(None, {**environ, "FLUXGATE_KEY_FILE": str(home / "key")}).key
    assert by_file is not None
    assert by_file.read("key") == CANARY
    fluxgate("context", "set", "c", "--server", SERVER, "--key-command", f"cat {home / 'key'}")
    by_command = chosen_context("c", {"XDG_CONFIG_HOME": str(home)}).key
    assert by_command is not None
    assert by_command.read("key") == CANARY
    fluxgate("context", "set", "d", "--server", SERVER, "--key-command", "false")
    failing = chosen_context("d", {"XDG_CONFIG_HOME": str(home)}).key
    assert failing is not None
    with pytest.raises(UsageError, match="ended with 1"):
        failing.read("key")
    (home / "key").write_text("two words")
    with pytest.raises(UsageError) as refused:
        by_file.read("key")
    assert "two" not in str(refused.value)


def test_the_file_is_where_the_specification_says(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    there = tmp_path / ".config" / "fluxgate" / "config.yaml"
    assert contexts_path(home) == there
    assert contexts_path({**home, "XDG_CONFIG_HOME": "relative"}) == there
    assert contexts_path({**home, "XDG_CONFIG_HOME": "/etc/x"}) == Path(
        "/etc/x/fluxgate/config.yaml"
    )
    assert contexts_path({**home, "FLUXGATE_CONTEXTS": "/y"}) == Path("/y")


def test_without_an_api_a_command_says_how_to_choose_one(fluxgate: Fluxgate, home: Path) -> None:
    refused = fluxgate("routes", "list")
    assert refused.code == ExitCode.USAGE
    assert "fluxgate context set" in refused.err


def test_a_server_that_is_no_url_is_answered_with_one_that_is(
    fluxgate: Fluxgate, home: Path
) -> None:
    done = fluxgate("context", "set", "a", "--server", "admin.example.com")
    assert done.code == ExitCode.USAGE
    assert "server: is no URL such as https://admin.example.com" in done.err
    assert not (home / "fluxgate").exists()


def test_a_command_for_a_secret_that_is_not_there_is_told_so_in_words(
    fluxgate: Fluxgate, home: Path
) -> None:
    fluxgate("context", "set", "a", "--server", SERVER, "--key-command", "no-such-program key")
    done = fluxgate("routes", "list")
    assert done.code == ExitCode.USAGE
    assert "the command for the key did not run: No such file or directory" in done.err
    assert "no-such-program key" in done.err
