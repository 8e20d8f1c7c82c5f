"""The controller's counters in Prometheus' text."""

from __future__ import annotations

from fluxgate_operator.metrics import ControllerMetrics


def figures(metrics: ControllerMetrics) -> dict[str, float]:
    lines = metrics.render().decode().splitlines()
    pairs = [each.rsplit(" ", 1) for each in lines if not each.startswith("#")]
    return {name: float(value) for name, value in pairs}


def test_a_turn_is_counted_by_its_result():
    metrics = ControllerMetrics()
    metrics.turn(0.004, succeeded=True)
    metrics.turn(2.0, succeeded=False)
    found = figures(metrics)
    assert found['fluxgate_controller_reconcile_total{result="success"}'] == 1
    assert found['fluxgate_controller_reconcile_total{result="error"}'] == 1
    assert found["fluxgate_controller_reconcile_duration_seconds_sum"] == 2.004


def test_only_a_turn_that_succeeded_moves_the_time_of_the_last_success():
    metrics = ControllerMetrics()
    metrics.turn(0.1, succeeded=False)
    name = "fluxgate_controller_reconcile_last_success_timestamp_seconds"
    assert figures(metrics)[name] == 0
    metrics.turn(0.1, succeeded=True)
    assert figures(metrics)[name] > 0


def test_requests_to_the_api_server_are_counted_by_verb_and_code():
    metrics = ControllerMetrics()
    metrics.api_request("patch", 200)
    metrics.api_request("patch", 200)
    metrics.api_request("list", 0)
    found = figures(metrics)
    assert found['fluxgate_controller_api_requests_total{code="200",verb="patch"}'] == 2
    assert found['fluxgate_controller_api_requests_total{code="0",verb="list"}'] == 1


def test_two_controllers_in_one_process_share_no_figures():
    one, other = ControllerMetrics(), ControllerMetrics()
    one.propagated(0.02)
    assert figures(one)["fluxgate_controller_propagation_seconds_count"] == 1
    assert figures(other)["fluxgate_controller_propagation_seconds_count"] == 0
