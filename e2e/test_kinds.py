"""An object of every kind that users write says what became of it."""

import hashlib
import json

from e2e.manifests import manifest, text
from e2e.waiting import eventually

KEY = "flc_service_0123456789abcdefghij"


def test_every_kind_says_whether_it_was_accepted(cluster, release, namespace):
    objects = (
        manifest("Tenant", namespace, "acme", hosts=["acme.example.com"]),
        manifest(
            "ApiKey",
            namespace,
            "service",
            hash=hashlib.sha256(KEY.encode()).hexdigest(),
            prefix="flc_service_",
            lastFour=KEY[-4:],
            tenant="acme",
        ),
        manifest("Upstream", namespace, "pool", targets=[{"host": "192.0.2.1", "port": 80}]),
        manifest("Backend", namespace, "pool", upstream="pool"),
        manifest("Plugin", namespace, "cors", type="cors", config={}),
        manifest(
            "Route",
            namespace,
            "pool",
            matches=[{"path": {"value": f"/{namespace}"}}],
            backends=[{"kind": "Backend", "name": "pool"}],
            plugins=[{"name": "cors"}],
        ),
    )
    cluster.kubectl("apply", "-f", "-", stdin=text(*objects))

    def unaccepted():
        kinds = ",".join(f"{each['kind'].lower()}s.gateway.fluxgate.io" for each in objects)
        listed = json.loads(cluster.kubectl("get", kinds, "-n", namespace, "-o", "json"))["items"]
        assert len(listed) == len(objects)
        return {
            each["kind"]: each.get("status")
            for each in listed
            if "True"
            not in {
                condition["status"]
                for condition in (each.get("status") or {}).get("conditions", ())
                if condition["type"] == "Accepted"
            }
        }

    eventually("every one is accepted", lambda: unaccepted() == {} or complain(unaccepted()), 20)


def complain(statuses):
    raise AssertionError(statuses)
