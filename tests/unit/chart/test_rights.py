"""The comparison of RBAC rules with an audit log."""

from __future__ import annotations

from typing import Any

from support.rights import Right, rules_for, unused_rights, was_refused

RULES = [
    {"apiGroups": ["gateway.fluxgate.io"], "resources": ["routes"], "verbs": ["get", "list"]},
    {"apiGroups": ["gateway.fluxgate.io"], "resources": ["routes/status"], "verbs": ["patch"]},
]


def event(verb: str, resource: str, *, group: str = "gateway.fluxgate.io", code: int = 200) -> Any:
    name, _, subresource = resource.partition("/")
    reference = {"resource": name, "apiGroup": group}
    if subresource:
        reference["subresource"] = subresource
    return {"verb": verb, "objectRef": reference, "responseStatus": {"code": code}}


def test_a_right_is_unused_until_a_request_needed_it() -> None:
    route = "gateway.fluxgate.io", "routes"
    assert unused_rights(RULES, []) == [
        Right(*route, "get"),
        Right(*route, "list"),
        Right("gateway.fluxgate.io", "routes/status", "patch"),
    ]
    seen = [event("list", "routes"), event("patch", "routes/status")]
    assert unused_rights(RULES, seen) == [Right(*route, "get")]


def test_the_status_is_another_resource_than_the_object() -> None:
    assert Right("gateway.fluxgate.io", "routes/status", "patch") in unused_rights(
        RULES, [event("patch", "routes")]
    )


def test_another_group_s_resource_of_the_same_name_does_not_count() -> None:
    assert len(unused_rights(RULES, [event("get", "routes", group="route.openshift.io")])) == 3


def test_a_refused_request_is_no_use() -> None:
    assert len(unused_rights(RULES, [event("get", "routes", code=403)])) == 3
    assert len(unused_rights(RULES, [event("get", "routes", code=404)])) == 2


def test_server_side_apply_of_a_new_object_needs_create() -> None:
    rules = [{"apiGroups": [""], "resources": ["services"], "verbs": ["create", "patch"]}]
    changed = event("patch", "services", group="", code=200)
    made = event("patch", "services", group="", code=201)
    assert [str(right) for right in unused_rights(rules, [changed])] == ["create services"]
    assert unused_rights(rules, [made]) == []


def test_requests_that_name_no_resource_are_passed_over() -> None:
    assert len(unused_rights(RULES, [{"verb": "get", "requestURI": "/version"}])) == 3


def test_the_rules_of_an_account_are_those_its_bindings_name() -> None:
    def role(kind: str, name: str, rules: list[Any]) -> Any:
        return {"kind": kind, "metadata": {"name": name}, "rules": rules}

    def binding(role: str, account: str) -> Any:
        return {
            "kind": "ClusterRoleBinding",
            "metadata": {"name": account},
            "roleRef": {"kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account}],
        }

    manifests = [
        role("ClusterRole", "mine", RULES),
        role("ClusterRole", "other", [{"verbs": ["*"]}]),
        role("Role", "mine", [{"verbs": ["*"]}]),
        binding("mine", "controller"),
        binding("other", "somebody"),
    ]
    assert rules_for(manifests, "controller") == RULES


def test_a_403_of_a_namespace_that_ends_is_no_missing_right() -> None:
    denied = event("create", "routes", code=403)
    by_rbac = {**denied, "annotations": {"authorization.k8s.io/decision": "forbid"}}
    by_admission = {**denied, "annotations": {"authorization.k8s.io/decision": "allow"}}
    assert [was_refused(each) for each in (by_rbac, by_admission)] == [True, False]
