"""The command line as a client of the admin API: the real ``fluxgate run`` with the real Envoy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.admin_cli import AdminCli, admin_cli
from support.commandline import Fluxgate, fluxgate
from support.standalone import API, route
from support.upstream import EchoUpstream

from fluxgate_cli.errors import ExitCode

pytestmark = pytest.mark.envoy

__all__ = ["fluxgate"]
LABEL = "gateway.fluxgate.io/managed-by"
EXPENSIVE = "/(a|b){700}z"
MANY = {"LIMIT_READS": "100000", "LIMIT_WRITES": "100000", "LIMIT_FAILURES": "100000"}

Write = Callable[[dict[str, str]], Path]


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as running:
        yield running


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory, echo: EchoUpstream) -> Iterator[AdminCli]:
    files = {"echo.yaml": route("echo", "/echo", echo.port)}
    with admin_cli(tmp_path_factory.mktemp("cli"), files, **MANY) as running:
        yield running


@pytest.fixture
def here(admin: AdminCli, fluxgate: Fluxgate, monkeypatch: pytest.MonkeyPatch) -> Fluxgate:
    """The command line in this process, with the context of the running gateway."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(admin.home))
    for name in (
        "FLUXGATE_API",
        "FLUXGATE_SERVER",
        "FLUXGATE_KEY",
        "FLUXGATE_TOKEN",
        "FLUXGATE_SET",
    ):
        monkeypatch.delenv(name, raising=False)
    return fluxgate


@pytest.fixture
def folder(tmp_path: Path) -> Write:
    """Write files into the one folder of a test; other files of it go."""
    root = tmp_path / "wanted"

    def write(files: dict[str, str]) -> Path:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for name, text in files.items():
            (root / name).write_text(text)
        return root

    return write


def backend(name: str, port: int) -> str:
    spec = f"{{url: 'http://127.0.0.1:{port}'}}"
    return f"{API}kind: Backend\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def to_backend(name: str, target: str) -> str:
    return (
        f"{API}kind: Route\nmetadata: {{name: {name}}}\nspec:\n"
        f"  matches: [{{path: {{value: /{name}}}}}]\n  auth: {{mode: None}}\n"
        f"  backends: [{{name: {target}}}]\n"
    )


def parsed(text: str) -> Any:
    return json.loads(text)


def test_a_folder_is_served_changed_and_taken_away_by_processes_of_their_own(
    admin: AdminCli, folder: Write, echo: EchoUpstream
) -> None:
    wanted = folder({"a.yaml": to_backend("first", "pool") + "---\n" + backend("pool", echo.port)})
    assert admin.fluxgate("diff", wanted, "--set", "life").code == 2
    applied = admin.fluxgate("apply", wanted, "--set", "life", "--reason", "a release")
    assert applied.code == 0, applied.err
    assert "every node serves them" in applied.err
    assert admin.run.get("/first").status == 200
    assert admin.fluxgate("diff", wanted, "--set", "life", "--prune").code == 0

    wanted = folder({"b.yaml": to_backend("second", "pool") + "---\n" + backend("pool", echo.port)})
    changed = admin.fluxgate("apply", wanted, "--set", "life", "--prune")
    assert changed.code == 0, changed.err
    assert admin.run.get("/second").status == 200
    assert admin.run.get("/first").status == 404

    reasons = admin.fluxgate("history", "list", "--kind", "Route", "--name", "first", "-o", "json")
    assert [each["change"] for each in parsed(reasons.out)] == ["deleted", "created"]
    assert parsed(reasons.out)[1]["reason"] == "a release"


def test_applying_again_writes_nothing(
    admin: AdminCli, here: Fluxgate, folder: Write, echo: EchoUpstream
) -> None:
    wanted = folder({"a.yaml": route("again", "/again", echo.port)})
    assert here("apply", wanted, "--set", "again").code == 0
    before = {path: path.stat().st_mtime_ns for path in admin.config.rglob("*.yaml")}
    done = here("apply", wanted, "--set", "again", "-o", "json")
    assert done.code == 0, done.err
    assert [each["outcome"] for each in parsed(done.out)["results"]] == ["unchanged"]
    assert {path: path.stat().st_mtime_ns for path in admin.config.rglob("*.yaml")} == before


def test_one_bad_object_is_named_by_file_and_place_and_stops_no_other(
    admin: AdminCli, here: Fluxgate, folder: Write, echo: EchoUpstream
) -> None:
    bad = route("dear", f'{{type: Regex, value: "{EXPENSIVE}"}}', echo.port)
    lost = to_backend("lost", "nowhere")
    good = route("cheap", "/cheap", echo.port)
    wanted = folder({"some.yaml": f"{bad}---\n{lost}---\n{good}", "broken.yaml": "kind: [\n"})
    done = here("apply", wanted, "--set", "some", "-o", "json")
    assert done.code == ExitCode.INVALID
    by_name = {each["name"]: each for each in parsed(done.out)["results"]}
    assert {name: each["outcome"] for name, each in by_name.items()} == {
        "dear": "refused",
        "lost": "refused",
        "cheap": "created",
    }
    assert by_name["dear"]["file"].endswith("some.yaml:1")
    assert by_name["dear"]["message"].startswith("/spec/matches/0/path/value: ")
    assert "nowhere" in by_name["lost"]["message"]
    assert "broken.yaml" in done.err
    assert admin.run.get("/cheap").status == 200


def test_a_diff_is_unified_yaml_and_shows_no_defaults(
    here: Fluxgate, folder: Write, echo: EchoUpstream
) -> None:
    assert here("apply", folder({"a.yaml": route("shown", "/shown", echo.port)})).code == 0
    written_out = route("shown", "{type: Prefix, value: /shown}", echo.port, "  enabled: true\n")
    assert here("diff", folder({"a.yaml": written_out})).code == 0
    changed = here("diff", folder({"a.yaml": route("shown", "/other", echo.port)}))
    assert changed.code == 2
    assert "--- a/Route default/shown\n+++ b/Route default/shown\n" in changed.out
    assert "-      value: /shown\n+      value: /other" in changed.out
    assert "1 to update" in changed.err


@pytest.mark.parametrize(
    "arguments", [("--nonsense",), ("--prune",), ("--set", "not a label"), ("--api", "nobody")]
)
def test_every_failure_of_diff_is_one_since_two_says_there_are_differences(
    here: Fluxgate, folder: Write, arguments: tuple[str, ...]
) -> None:
    assert here("diff", folder({}), *arguments).code == 1
    assert here("diff", folder({}).parent / "nowhere").code == 1


def test_objects_of_another_set_are_left_alone_until_they_are_taken_over(
    admin: AdminCli, here: Fluxgate, folder: Write, echo: EchoUpstream
) -> None:
    assert (
        here("apply", folder({"a.yaml": route("theirs", "/theirs", echo.port)}), "--set", "a").code
        == 0
    )
    mine = folder({"a.yaml": route("theirs", "/mine", echo.port)})
    refused = here("apply", mine, "--set", "b", "-o", "json")
    assert refused.code == ExitCode.INVALID
    assert "'a'" in parsed(refused.out)["results"][0]["message"]
    assert admin.run.get("/theirs").status == 200
    assert here("diff", mine, "--set", "b").code == 1
    assert here("apply", mine, "--set", "b", "--take-over").code == 0
    assert admin.run.get("/mine").status == 200
    shown = parsed(here("request", "GET", "/v2/objects/Route/default/theirs").out)
    assert shown["document"]["metadata"]["labels"] == {LABEL: "b"}


def test_nothing_is_deleted_without_the_flag_nor_of_others(
    admin: AdminCli, here: Fluxgate, folder: Write, echo: EchoUpstream
) -> None:
    both = route("stays", "/stays", echo.port) + "---\n" + route("goes", "/goes", echo.port)
    assert here("apply", folder({"a.yaml": both}), "--set", "pruned").code == 0
    one = folder({"a.yaml": route("stays", "/stays", echo.port)})
    kept = here("apply", one, "--set", "pruned")
    assert kept.code == 0
    assert admin.run.get("/goes").status == 200
    pruned = here("apply", one, "--set", "pruned", "--prune", "-o", "json")
    assert pruned.code == 0, pruned.err
    outcomes = {each["name"]: each["outcome"] for each in parsed(pruned.out)["results"]}
    assert outcomes == {"stays": "unchanged", "goes": "deleted"}
    assert admin.run.get("/goes").status == 404
    assert admin.run.get("/echo").status == 200


def test_nothing_is_deleted_while_a_file_cannot_be_read(
    admin: AdminCli, here: Fluxgate, folder: Write, echo: EchoUpstream
) -> None:
    assert (
        here("apply", folder({"a.yaml": route("half", "/half", echo.port)}), "--set", "half").code
        == 0
    )
    broken = here("apply", folder({"a.yaml": "kind: [\n"}), "--set", "half", "--prune")
    assert broken.code == ExitCode.INVALID
    assert admin.run.get("/half").status == 200


def test_a_backend_that_others_use_is_not_pruned_unless_forced(
    admin: AdminCli, here: Fluxgate, folder: Write, echo: EchoUpstream
) -> None:
    assert here("apply", folder({"a.yaml": backend("used", echo.port)}), "--set", "used").code == 0
    assert here("apply", folder({"a.yaml": to_backend("user", "used")})).code == 0
    empty = folder({"a.yaml": backend("other", echo.port)})
    refused = here("apply", empty, "--set", "used", "--prune", "-o", "json")
    assert refused.code == ExitCode.INVALID
    messages = [
        each["message"] for each in parsed(refused.out)["results"] if each["name"] == "used"
    ]
    assert "Route default/user" in messages[0]
    assert here("apply", empty, "--set", "used", "--prune", "--force").code == 0


def test_a_dry_run_asks_envoy_and_stores_nothing(
    here: Fluxgate, folder: Write, echo: EchoUpstream
) -> None:
    wanted = folder({"a.yaml": route("dry", "/dry", echo.port)})
    tried = here("apply", wanted, "--dry-run", "-o", "json")
    assert tried.code == 0, tried.err
    assert [each["outcome"] for each in parsed(tried.out)["results"]] == ["created"]
    assert here("diff", wanted).code == 2
    bad = folder({"a.yaml": route("dry", f'{{type: Regex, value: "{EXPENSIVE}"}}', echo.port)})
    assert here("apply", bad, "--dry-run").code == ExitCode.INVALID


def test_a_dump_is_what_an_apply_takes_for_unchanged(
    here: Fluxgate, tmp_path: Path, echo: EchoUpstream
) -> None:
    dumped = here("dump", tmp_path / "dump")
    assert dumped.code == 0, dumped.err
    files = sorted(
        str(p.relative_to(tmp_path / "dump")) for p in (tmp_path / "dump").rglob("*.yaml")
    )
    assert "routes/default.echo.yaml" in files
    assert "gatewayconfigs/default.main.yaml" in files
    gateway = yaml.safe_load((tmp_path / "dump/gatewayconfigs/default.main.yaml").read_text())
    assert gateway["spec"]["listeners"][0]["port"] == 8080
    same = here("diff", tmp_path / "dump", "--take-over")
    assert same.code == 0, same.out + same.err
    assert here("dump", tmp_path / "dump").code == ExitCode.USAGE
    one = list(yaml.safe_load_all(here("dump", "--kind", "gatewayconfig").out))
    assert [each["kind"] for each in one] == ["GatewayConfig"]


def test_three_hundred_objects_take_two_writes_of_the_limit(
    tmp_path: Path, echo: EchoUpstream
) -> None:
    limits = {"LIMIT_WRITES": "2"}
    with admin_cli(tmp_path, {"echo.yaml": route("echo", "/echo", echo.port)}, **limits) as few:
        wanted = tmp_path / "wanted"
        wanted.mkdir()
        text = "---\n".join(route(f"many-{n}", f"/many/{n}", echo.port) for n in range(300))
        (wanted / "many.yaml").write_text(text)
        done = few.fluxgate("apply", wanted, "--set", "many")
        assert done.code == 0, done.err
        assert "trying again" not in done.err
        assert "300 changed" in done.err
        assert few.run.get("/many/299").status == 200


def test_a_request_is_signed_and_its_exit_code_tells_the_status(here: Fluxgate) -> None:
    body = '{"name": "by-hand", "match": {"path": "/by-hand"}, "upstream": "http://127.0.0.1:9"}'
    made = here("request", "post", "/v2/routes?wait=none", "--data", body, "-i")
    assert made.code == 0, made.err
    assert made.out.startswith("HTTP/1.1 201")
    again = here("request", "POST", "/v2/routes?wait=none", "--data", body)
    assert again.code == ExitCode.REFUSED
    assert parsed(again.out)["error"] == "already_exists"
    assert here("request", "POST", "/v2/routes", "--data", "{").code == ExitCode.INVALID
    assert here("request", "GET", "/v2/nowhere").code == ExitCode.REFUSED


def test_without_the_secret_a_write_is_refused_and_a_read_is_not(
    admin: AdminCli, here: Fluxgate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUXGATE_KEY", admin.key)
    assert here("routes", "list").code == 0
    assert here("routes", "delete", "echo").code == ExitCode.REFUSED
    monkeypatch.setenv("FLUXGATE_SIGNING_SECRET", "fss_" + "0" * 43)
    forged = here("routes", "delete", "echo")
    assert forged.code == ExitCode.REFUSED
    assert "a credential in the environment wins over the context's" in forged.err


def test_the_explained_signature_is_the_one_the_server_takes(
    admin: AdminCli, here: Fluxgate
) -> None:
    shown = here("request", "DELETE", "/v2/routes/rt_none?wait=none", "--explain-signature").out
    assert admin.secret not in shown
    headers = dict(line.split(": ", 1) for line in shown.splitlines() if line.startswith("x-"))
    arguments = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    unsigned = {"FLUXGATE_KEY": admin.key}
    sent = admin.fluxgate(
        "request", "DELETE", "/v2/routes/rt_none?wait=none", *arguments, **unsigned
    )
    assert parsed(sent.out)["error"] == "not_found", sent.out


def test_a_route_is_made_shown_changed_and_deleted(
    admin: AdminCli, here: Fluxgate, echo: EchoUpstream
) -> None:
    upstream = f"http://127.0.0.1:{echo.port}"
    options = ("--path", "/made/*", "--upstream", upstream, "--method", "get")
    made = here("routes", "create", "made", *options, "-o", "json")
    assert made.code == 0, made.err
    public = parsed(made.out)["id"]
    opened = here("routes", "update", public, "--data", "{auth: {mode: None}}", "--reason", "open")
    assert opened.code == 0, opened.err
    assert admin.run.get("/made/1").status == 200
    shown = parsed(here("routes", "get", "default/made", "-o", "json").out)
    assert (shown["id"], shown["match"]) == (public, {"path": "/made/*", "methods": ["GET"]})
    stale = here("routes", "update", "made", "--data", "{timeout: 1s}", "--if-match", "0" * 64)
    assert stale.code == ExitCode.REFUSED
    tried = here("routes", "update", "made", "--data", "{timeout: 7s}", "--dry-run")
    assert "+    request: 7s" in tried.out
    assert public in here("routes", "list").out
    assert here("routes", "delete", "made").code == 0
    assert admin.run.get("/made/1").status == 404
    assert here("routes", "get", "made").code == ExitCode.REFUSED


@pytest.mark.parametrize(
    ("named", "called"),
    [("nobody", "default/nobody"), ("team/nobody", "team/nobody"), ("rt_none", "rt_none")],
)
def test_what_is_not_there_is_called_what_the_user_called_it(
    here: Fluxgate, named: str, called: str
) -> None:
    for command in (
        ("get", named),
        ("update", named, "--data", "{timeout: 1s}"),
        ("delete", named),
    ):
        missing = here("routes", *command)
        assert missing.code == ExitCode.REFUSED
        assert f"o Route {called}" in missing.err, missing.err
        assert ("rt_" in missing.err) == named.startswith("rt_"), missing.err


def test_history_shows_a_change_and_takes_it_back(
    admin: AdminCli, here: Fluxgate, folder: Write, echo: EchoUpstream
) -> None:
    assert here("apply", folder({"a.yaml": route("past", "/past", echo.port)})).code == 0
    assert here("apply", folder({"a.yaml": route("past", "/future", echo.port)})).code == 0
    listed = here("history", "list", "--kind", "Route", "--name", "past", "-o", "json")
    newest = parsed(listed.out)[0]["revision"]
    assert "+      value: /future" in here("history", "diff", newest).out
    back = here("history", "rollback", newest, "--to", "before")
    assert back.code == 0, back.err
    assert admin.run.get("/past").status == 200
    assert here("history", "get", 10**9).code == ExitCode.REFUSED


def test_the_log_of_calls_is_listed_newest_first_by_what_is_asked_for(
    admin: AdminCli, here: Fluxgate
) -> None:
    path = "/v2/objects/Route/default/nobody"
    refused = here("request", "GET", path, "-i")
    id_ = next(
        line.partition(": ")[2]
        for line in refused.out.splitlines()
        if line.lower().startswith("x-request-id: ")
    )
    (told,) = parsed(here("audit", "list", "--request-id", id_, "-o", "json").out)
    assert (told["path"], told["status"], told["error"]) == (path, 404, "not_found")
    again = yaml.safe_load(here("audit", "list", "--request-id", id_, "-o", "yaml").out)
    assert again == [told]
    shown = here("audit", "list", "--path", path, "--outcome", "refused", "--limit", 1)
    head, row = shown.out.splitlines()
    assert head.split() == [
        *("AT", "PRINCIPAL", "ADDRESS", "METHOD", "PATH", "STATUS", "ERROR", "REQUEST")
    ]
    assert row.split() == [
        *(told["at"], *told["principal"].split(), "127.0.0.1", "GET", path, "404", "not_found", id_)
    ]
    newest = parsed(here("audit", "list", "--method", "get", "--limit", 3, "-o", "json").out)
    assert [each["path"] for each in newest] == ["/v2/audit"] * 3
    span = ("--since", told["at"], "--until", told["at"])
    assert parsed(here("audit", "list", *span, "-o", "json").out) == []
    assert here("audit", "list", "--status", "4xx", "--principal", told["principal_id"]).code == 0
    assert here("audit", "list", "--since", "yesterday").code == ExitCode.INVALID
    wrong = admin.fluxgate("audit", "list", FLUXGATE_KEY="sk_live_wrong")
    assert wrong.code == ExitCode.REFUSED


def test_plugins_are_made_configured_and_deleted(here: Fluxgate) -> None:
    body = "{name: limits, type: rate_limit, config: {requests: 60, window: 1m}}"
    made = here("plugins", "create", "--data", body)
    assert made.code == 0, made.err
    done = here("plugins", "configure", "limits", "--data", "{requests: 120, window: 1m}")
    assert done.code == 0, done.err
    assert parsed(here("plugins", "get", "limits", "-o", "json").out)["config"]["requests"] == 120
    assert "limits" in here("plugins", "list").out
    assert here("plugins", "delete", "limits").code == 0
    assert "jwt-auth" in here("plugins", "types").out


def test_the_global_configuration_is_shown_and_changed(here: Fluxgate) -> None:
    changed = here("config", "update", "--data", "{limits: {max_headers: 90}}", "-o", "json")
    assert changed.code == 0, changed.err
    assert yaml.safe_load(here("config", "get").out)["limits"]["max_headers"] == 90
    wrong = here("config", "update", "--data", "{limits: {max_headers: many}}")
    assert wrong.code == ExitCode.INVALID


def test_nodes_status_and_explain_say_what_they_say_of_a_local_instance(
    admin: AdminCli, here: Fluxgate
) -> None:
    nodes = parsed(here("nodes", "list", "-o", "json").out)
    assert [each["sync_state"] for each in nodes] == ["synced"]
    local = parsed(here("status", "--state-dir", admin.run.state, "-o", "json").out)
    remote = here("status", "--api", "test", "--wait", "-o", "json")
    assert remote.code == 0, remote.err
    view = parsed(remote.out)
    assert set(view) == set(local)

    def names(found: Any) -> set[tuple[str, str]]:
        return {(each["kind"], each["name"]) for each in found["objects"]}

    assert names(view) == names(local)
    here_says = here("explain", "GET", "/echo", "--state-dir", admin.run.state, "-o", "json")
    there_says = here("explain", "GET", "/echo", "--api", "test", "-o", "json")
    assert (
        parsed(there_says.out)["object"] == parsed(here_says.out)["object"] == "Route default/echo"
    )
    assert set(parsed(there_says.out)) == set(parsed(here_says.out))


def test_a_current_context_does_not_change_whom_status_asks(here: Fluxgate, tmp_path: Path) -> None:
    assert here("status", "--state-dir", tmp_path).code == ExitCode.NOT_RUNNING


def test_a_folder_is_validated_beside_what_the_api_has(
    here: Fluxgate, folder: Write, echo: EchoUpstream
) -> None:
    assert here("apply", folder({"a.yaml": backend("elsewhere", echo.port)})).code == 0
    part = folder({"a.yaml": to_backend("part", "elsewhere")})
    fine = here("validate", part, "--api", "test", "-o", "json")
    assert fine.code == 0, fine.err
    assert parsed(fine.out)["checked_by_envoy"]
    bad = folder({"a.yaml": to_backend("part", "nowhere"), "b.yaml": "kind: [\n"})
    found = here("validate", bad, "--api", "test", "-o", "json")
    assert found.code == ExitCode.INVALID
    assert {each["source"] for each in parsed(found.out)["findings"]} == {"file", "reference"}


def test_routes_are_completed_from_the_api_and_not_a_word_is_said_without_it(
    admin: AdminCli,
) -> None:
    def complete(typed: str, **variables: str) -> list[str]:
        words = {"COMP_WORDS": f"fluxgate routes get {typed}", "COMP_CWORD": "3"}
        done = subprocess.run(
            [Path(sys.executable).parent / "fluxgate"],
            env=admin.environ({"_FLUXGATE_COMPLETE": "complete_bash", **words, **variables}),
            capture_output=True,
            text=True,
            check=False,
        )
        return (done.stdout + done.stderr).split()

    assert complete("ech") == ["echo"]
    assert [each[:3] for each in complete("rt_")][:1] == ["rt_"]
    assert complete("ech", FLUXGATE_SERVER="http://127.0.0.1:9") == []


def test_an_import_of_openapi_is_served(
    admin: AdminCli, here: Fluxgate, tmp_path: Path, echo: EchoUpstream
) -> None:
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Shelf", "version": "1"},
        "servers": [{"url": f"http://127.0.0.1:{echo.port}/shelf"}],
        "paths": {"/books/{id}": {"get": {"responses": {}}}},
    }
    (tmp_path / "api.json").write_text(json.dumps(document))
    assert here("import", "openapi", tmp_path / "api.json", "--to", tmp_path / "out").code == 0
    assert here("apply", tmp_path / "out", "--set", "shelf").code == 0
    assert admin.run.get("/shelf/books/7").status == 200
    assert admin.run.get("/shelf/books").status == 404
