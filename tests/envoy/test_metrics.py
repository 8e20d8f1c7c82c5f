"""What Prometheus gets of an Envoy, and that the dashboards ask for nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.client import request
from support.envoy import eventually
from support.ports import free_port
from support.standalone import API, RunningGateway, route, running_gateway
from support.upstream import EchoUpstream

from fluxgate.xds.metrics import PATHS
from fluxgate_operator.metrics import ControllerMetrics
from fluxgate_operator.metrics_state import StateCollector
from fluxgate_operator.settings import EnvoySettings

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

CHART = Path(__file__).parents[2] / "charts" / "fluxgate"
DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))
METRIC = re.compile(r"\b(?:envoy|fluxgate|process)_\w+")
LABELS = {"envoy_cluster_name", "envoy_http_conn_manager_prefix", "envoy_response_code_class"}
GATEWAY = (
    API + "kind: GatewayConfig\nmetadata: {name: main}\nspec:\n"
    "  logging: {accessLog: {enabled: false}}\n"
    "  listeners: [{name: public.http, port: 8080, address: 127.0.0.1}]\n"
    '  tracing: {endpoint: "http://127.0.0.1:9"}\n'
)
LIMITED = "  rateLimit: {requests: 2, window: 24h}\n"


ASKED = ("/open", "/nowhere", "/broken", *["/limited"] * 4)


@dataclass
class Scraped:
    """A gateway that served 200s, 404s, 429s and 502s, and where its metrics are."""

    gateway: RunningGateway
    port: int

    def text(self) -> str:
        return request(self.port, "/metrics").body.decode()

    def whole(self) -> str:
        """The text that shows the requests of the start in histograms, too: these come in turns."""
        name = "envoy_http_downstream_rq_time_count"

        def text() -> str:
            found = self.text()
            counts = re.findall(rf"^{name}\{{.*\}} (\S+)", found, re.MULTILINE)
            return found if sum(map(float, counts)) >= len(ASKED) else ""

        return eventually(text, what="histograms of all requests")

    def names(self) -> set[str]:
        return {match[1] for match in re.finditer(r"^(\w+)[{ ]", self.text(), re.MULTILINE)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scraped(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scraped]:
    port = free_port()
    envoy = EnvoySettings(concurrency=1, metrics=("127.0.0.1", port))
    with EchoUpstream() as echo:
        files = {
            "gateway.yaml": GATEWAY,
            "open.yaml": route("open", "/open", echo.port),
            "limited.yaml": route("limited", "/limited", echo.port, LIMITED),
            "broken.yaml": route("broken", "/broken", free_port()),
        }
        folder = tmp_path_factory.mktemp("metrics")
        async with running_gateway(folder, files, envoy=envoy) as running:
            for path in ASKED:
                await running.get(path)
            yield Scraped(running, port)


def series(text: str, name: str) -> list[dict[str, str]]:
    """The labels of every series of one metric."""
    lines = re.findall(rf"^{name}\{{(.*)\}} ", text, re.MULTILINE)
    return [dict(re.findall(r'(\w+)="([^"]*)"', line)) for line in lines]


async def test_an_upstream_is_a_label_whatever_its_name_holds(scraped: Scraped) -> None:
    """Dots in it would make a metric of its own of every upstream."""
    text = scraped.text()
    names = {each["envoy_cluster_name"] for each in series(text, "envoy_cluster_upstream_rq_total")}
    assert any(name.startswith("url/http_127_0_0_1_") for name in names)
    assert [name for name in scraped.names() if "127" in name or "_0_0_1" in name] == []


async def test_a_listener_is_a_label_whatever_its_name_holds(scraped: Scraped) -> None:
    found = series(scraped.text(), "envoy_http_downstream_rq_total")
    assert "public_http" in {each["envoy_http_conn_manager_prefix"] for each in found}


async def test_more_routes_and_requests_make_no_more_series(scraped: Scraped) -> None:
    def count() -> int:
        return len(re.findall(r"^\w+[{ ]", scraped.whole(), re.MULTILINE))

    await scraped.gateway.get("/open")
    before = count()
    for number in range(30):
        await scraped.gateway.get(f"/open/{number}")
        await scraped.gateway.get(f"/nowhere/{number}")
    assert count() == before


async def test_a_further_upstream_makes_a_dozen_series(scraped: Scraped) -> None:
    def count() -> int:
        return len(re.findall(r"^\w+[{ ]", scraped.whole(), re.MULTILINE))

    before = count()
    scraped.gateway.write("more.yaml", route("more", "/more", free_port()))
    await scraped.gateway.served("Route", "more")
    await scraped.gateway.get("/more")
    assert 0 < count() - before <= 12


@pytest.mark.parametrize("path", PATHS)
async def test_both_usual_paths_lead_to_the_metrics(scraped: Scraped, path: str) -> None:
    answer = request(scraped.port, path)
    assert answer.status == 200
    assert b"# TYPE envoy_server_live gauge" in answer.body


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/config_dump",
        "/quitquitquit",
        "/logging",
        "/stats",
        "/stats?format=prometheus",
        "/metrics?filter=.*",
        "/metrics/../config_dump",
        "/stats/prometheus/../../config_dump",
        "/metrics%2f..%2fconfig_dump",
        "//metrics",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_nothing_else_of_the_admin_interface_can_be_reached(
    scraped: Scraped, path: str, method: str
) -> None:
    assert request(scraped.port, path, method=method).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
async def test_metrics_can_only_be_read(scraped: Scraped, method: str) -> None:
    assert request(scraped.port, "/metrics", method=method).status == 404


def asked_by(dashboard: Path) -> set[str]:
    """The metrics in a dashboard's queries."""
    found = json.loads(dashboard.read_text())
    texts = [target["expr"] for panel in found["panels"] for target in panel["targets"]]
    texts += [
        each["query"]["query"] for each in found["templating"]["list"] if each["type"] == "query"
    ]
    return {name for text in texts for name in METRIC.findall(text)} - LABELS


def told_by_the_control_plane(scraped: Scraped) -> set[str]:
    """What a controller's /metrics holds, around the engine of a gateway that runs."""
    metrics = ControllerMetrics()
    engine = scraped.gateway.gateway._engine
    metrics.add(StateCollector(engine, lambda: True, {}))
    metrics.turn(0.1, succeeded=True)
    metrics.api_request("list", 200)
    metrics.propagated(0.1)
    text = metrics.render().decode()
    # a family whose labels nobody used yet has no series
    families = re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)
    return {match[1] for match in re.finditer(r"^(\w+)[{ ]", text, re.MULTILINE)} | set(families)


async def test_every_metric_in_the_dashboards_is_in_a_real_scrape(scraped: Scraped) -> None:
    asked = {name for dashboard in DASHBOARDS for name in asked_by(dashboard)}
    assert len(asked) >= 30
    scraped.whole()
    known = scraped.names() | told_by_the_control_plane(scraped)
    assert asked - known == set()


def panels_of(dashboard: Path) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads(dashboard.read_text())["panels"]
    return panels


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
async def test_a_dashboard_has_a_use_and_a_place_for_every_panel(dashboard: Path) -> None:
    panels = panels_of(dashboard)
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(panels)
    for panel in panels:
        assert panel["title"]
        assert panel["targets"]
