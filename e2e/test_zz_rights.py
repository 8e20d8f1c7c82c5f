"""What the chart's ServiceAccounts asked during all scenarios, against what its RBAC allows.

Named so that it runs last. It says something only when all scenarios have run before it.
"""

import subprocess
from pathlib import Path

import pytest
import yaml
from support.rights import Right, rules_for, unused_rights, was_refused

CHART = Path(__file__).resolve().parents[1] / "charts" / "fluxgate"
ACCOUNTS = ("admin", "controller", "crds", "routes", "routes-removal", "test")
SCENARIOS = {
    f"e2e/test_{each}.py"
    for each in ("availability", "exposure", "ingress", "install", "kinds", "lifecycle", "routes")
}
OPENSHIFT = "route.openshift.io"
ASKED_BY_OTHERS = {
    # OpenShift's API server asks whether we may, when a Route that we write names a host
    Right(OPENSHIFT, "routes/custom-host", "create"),
    Right(OPENSHIFT, "routes/custom-host", "update"),
}


@pytest.fixture(scope="module")
def asked(request, cluster, release, requests_before):
    """Every request of every cluster of the session."""
    ran = {each.nodeid.partition("::")[0] for each in request.session.items}
    if missing := SCENARIOS - ran:
        pytest.skip(f"only after all scenarios; not run: {', '.join(sorted(missing))}")
    found = [*requests_before, *cluster.requests()]
    if not found:
        pytest.skip("this cluster writes no audit log")
    return found


@pytest.fixture(scope="module")
def rendered(cluster):
    """All objects of the chart, where OpenShift's Route is known."""
    done = subprocess.run(
        [
            *("helm", "template", "fluxgate", CHART, "--api-versions", f"{OPENSHIFT}/v1"),
            *("--set", "admin.enabled=true"),
        ],
        check=True,
        capture_output=True,
        text=True,
        env=dict(cluster.environment),
    )
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def of_account(events, account):
    """In every release; the account's name ends the user's."""
    return [
        each
        for each in events
        if each["user"].get("username", "").startswith("system:serviceaccount:")
        and each["user"].get("username", "").endswith(f"fluxgate-{account}")
    ]


@pytest.mark.parametrize("account", ACCOUNTS)
def test_no_right_is_without_a_use(asked, rendered, account):
    rules = rules_for(rendered, f"fluxgate-{account}")
    assert rules
    unused = set(unused_rights(rules, of_account(asked, account))) - ASKED_BY_OTHERS
    assert sorted(map(str, unused)) == []


def test_nothing_was_asked_without_the_right_to(cluster, release, asked):
    ours = f"system:serviceaccount:{release.namespace}:"
    refused = {
        (each["user"].get("username", ""), each["verb"], each["requestURI"].partition("?")[0])
        for each in cluster.requests()
        if each["user"].get("username", "").startswith(ours) and was_refused(each)
    }
    assert refused == set()


def test_the_gateway_s_account_asks_for_nothing(release, asked):
    assert of_account(asked, "gateway") == []
