"""The arithmetic of the benchmarks: a wrong parse would be a wrong claim."""

import pytest

from bench.harness import BenchError, parse_wrk
from bench.propagation import Propagation
from bench.report import verdict

OUTPUT = """Running 2s test @ http://127.0.0.1:9000/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   612.35us  210.11us   6.01ms   81.99%
  Latency Distribution
     50%  590.00us
     75%  700.00us
     90%  820.00us
     99%    1.37ms
  103011 requests in 2.00s, 15.62MB read
Requests/sec:  51486.21
Transfer/sec:      7.81MB
"""


def test_reads_what_wrk_prints() -> None:
    assert parse_wrk(OUTPUT) == (103011, 51486.21, 0.59, 1.37, 0)


def test_counts_bad_answers_and_socket_errors_as_failures() -> None:
    troubled = OUTPUT.replace(
        "Requests/sec",
        "  Socket errors: connect 1, read 2, write 3, timeout 4\n"
        "  Non-2xx or 3xx responses: 90\nRequests/sec",
    )
    assert parse_wrk(troubled)[4] == 100


def test_refuses_output_without_figures() -> None:
    with pytest.raises(BenchError, match="did not print"):
        parse_wrk("unable to connect to 127.0.0.1:1 Connection refused")


def test_quantiles_are_samples_not_interpolations() -> None:
    measured = Propagation(100, "one shared", tuple(float(n) for n in range(100, 0, -1)))
    assert (measured.quantile(0.5), measured.quantile(0.99), measured.mean) == (50.0, 99.0, 50.5)


def test_a_missed_goal_is_reported_with_its_distance() -> None:
    assert verdict(1.2, 1.15) == "**missed** by 0.05 (≤ 1.15)"
    assert verdict(1.05, 1.05) == "reached (≤ 1.05)"
