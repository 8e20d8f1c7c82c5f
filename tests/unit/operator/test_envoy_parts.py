"""The small parts around Envoy: search, back-off, log lines, words, bootstrap."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from fluxgate_operator.envoy.admin import parse_address
from fluxgate_operator.envoy.backoff import BackOff
from fluxgate_operator.envoy.bootstrap import BootstrapOptions, XdsTLS, build_bootstrap
from fluxgate_operator.envoy.locate import locate_envoy
from fluxgate_operator.envoy.logs import EnvoyLogLine, parse_line
from fluxgate_operator.envoy.validate import envoy_words
from fluxgate_operator.envoy.words import concise
from fluxgate_operator.errors import EnvoyNotFoundError
from fluxgate_operator.settings import BackOffSettings


def executable(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_settings_come_before_the_variable_before_the_path(tmp_path: Path) -> None:
    named, variable = executable(tmp_path / "named"), executable(tmp_path / "variable")
    on_path = executable(tmp_path / "envoy")
    environ = {"FLUXGATE_ENVOY": str(variable), "PATH": str(tmp_path)}

    assert locate_envoy(environ, named) == named
    assert locate_envoy(environ) == variable
    assert locate_envoy({"PATH": str(tmp_path)}) == on_path


def test_a_named_envoy_that_is_not_there_is_no_reason_to_take_another(tmp_path: Path) -> None:
    with pytest.raises(EnvoyNotFoundError, match=r"FLUXGATE_ENVOY names .* no such file"):
        locate_envoy({"FLUXGATE_ENVOY": str(tmp_path / "missing"), "PATH": ""})


def test_an_envoy_that_may_not_be_executed_is_said(tmp_path: Path) -> None:
    (tmp_path / "envoy").write_text("")
    with pytest.raises(EnvoyNotFoundError, match="may not be executed"):
        locate_envoy({}, tmp_path / "envoy")


def test_back_off_doubles_to_its_limit_and_a_stable_run_resets_it() -> None:
    back_off = BackOff(BackOffSettings(first=1, factor=2, limit=5, jitter=0, stable=10), lambda: 0)

    assert [back_off.next(0.1) for _ in range(4)] == [1, 2, 4, 5]
    assert back_off.next(11) == 1


def test_back_off_is_spread_by_its_jitter() -> None:
    settings = BackOffSettings(first=1, jitter=0.2)

    assert BackOff(settings, lambda: 0.0).next(0) == pytest.approx(0.8)
    assert BackOff(settings, lambda: 0.999999).next(0) == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            '{"level":"warning","logger":"config","message":"a \\"b\\"","source":"x.cc:1"}',
            EnvoyLogLine(logging.WARNING, "config", 'a "b"', "x.cc:1"),
        ),
        (
            "[2026-01-01 00:00:00.000][7][critical][main] [a/b.cc:2] it broke",
            EnvoyLogLine(logging.CRITICAL, "main", "it broke", "a/b.cc:2"),
        ),
        ("something else", EnvoyLogLine(logging.INFO, "", "something else")),
        ('{"not": "ours"}', EnvoyLogLine(logging.INFO, "", '{"not": "ours"}')),
    ],
)
def test_log_lines_are_read_in_every_form(line: str, expected: EnvoyLogLine) -> None:
    assert parse_line(line) == expected


def test_envoys_words_leave_out_the_dump_of_the_configuration() -> None:
    log = (
        "[2026-01-01 00:00:00.000][7][critical][main] [a.cc:2] error initializing configuration "
        "'/x.pb': goo.gle/debugproto\nstatic_resources {\n}\n: Proto constraint validation failed "
        "(Cluster.ConnectTimeout: value must be greater than 0s)\n"
    )

    assert envoy_words(log) == (
        "Proto constraint validation failed (Cluster.ConnectTimeout: value must be greater than 0s)"
    )
    assert concise("plain words") == "plain words"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9901\n", ("127.0.0.1", 9901)),
        ("[::1]:9901", ("::1", 9901)),
        ("/run/envoy.sock", Path("/run/envoy.sock")),
    ],
)
def test_admin_addresses_are_read(text: str, address: object) -> None:
    assert parse_address(text) == address


def options(**changes: object) -> BootstrapOptions:
    values = {
        "node_id": "n",
        "gateway": "g",
        "xds_host": "127.0.0.1",
        "xds_port": 18000,
        "admin": ("127.0.0.1", 0),
        "concurrency": 2,
    }
    return BootstrapOptions(**{**values, **changes})  # type: ignore[arg-type]


def test_the_bootstrap_says_who_it_is_and_where_it_answers_probes() -> None:
    node = build_bootstrap(options(probe=("127.0.0.1", 7000)))["node"]

    assert (node["id"], node["cluster"]) == ("n", "g")
    assert node["metadata"] == {"fluxgate.io/probe": "127.0.0.1:7000", "fluxgate.io/concurrency": 2}


def test_the_bootstrap_can_demand_mutual_tls() -> None:
    tls = XdsTLS(Path("/ca.pem"), Path("/cert.pem"), Path("/key.pem"), "xds.example.com")
    bootstrap = build_bootstrap(options(xds_tls=tls, xds_host="xds.example.com"))

    (cluster,) = bootstrap["staticResources"]["clusters"]
    context = cluster["transportSocket"]["typedConfig"]
    assert cluster["type"] == "STRICT_DNS"
    assert context["sni"] == "xds.example.com"
    (names,) = context["commonTlsContext"]["validationContext"]["matchTypedSubjectAltNames"]
    assert names["matcher"] == {"exact": "xds.example.com"}
