"""What the API server holds is in the store, soon."""

from __future__ import annotations

from fluxgate.resources import Endpoint, ObjectRef
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.types import ENDPOINT_SLICES, OUR_TYPES, SECRETS, SERVICES

from .objects import backend, secret, service, slice_, upstream

TYPES = {each.kind: each for each in OUR_TYPES}
UPSTREAMS, BACKENDS = TYPES["Upstream"], TYPES["Backend"]


async def test_what_was_there_before_comes_from_the_list(start, control_plane, kube, namespace):
    for number in range(3):
        await kube.create(UPSTREAMS, namespace, upstream(f"u{number}"))
    async with start(control_plane.kubeconfig) as watched:
        assert watched.names("Upstream", namespace) == {"u0", "u1", "u2"}
        assert watched.provider.health().last_resync is not None


async def test_creation_change_and_deletion_are_seen(start, control_plane, kube, namespace):
    async with start(control_plane.kubeconfig) as watched:
        made = await kube.create(UPSTREAMS, namespace, upstream("u"))
        await watched.until(lambda: watched.has("Upstream", namespace, "u"))
        await kube.replace(
            UPSTREAMS, namespace, {**made, "spec": upstream("u", "192.0.2.9")["spec"]}
        )
        ref = ObjectRef("Upstream", namespace, "u")
        await watched.until(lambda: watched.store.get(ref).spec.targets[0].host == "192.0.2.9")
        assert watched.provider.facts(ref).generation == 2
        await kube.delete(UPSTREAMS, namespace, "u")
        await watched.until(lambda: not watched.has("Upstream", namespace, "u"))
        assert watched.provider.facts(ref) is None


async def test_a_status_of_ours_is_a_fact_and_no_change(start, control_plane, kube, namespace):
    await kube.create(UPSTREAMS, namespace, upstream("u"))
    async with start(control_plane.kubeconfig) as watched:
        ref = ObjectRef("Upstream", namespace, "u")
        before = watched.store.get(ref)
        status = {"status": {"conditions": []}}
        await kube.merge_patch(UPSTREAMS, namespace, "u", status, subresource="status")
        await watched.until(lambda: watched.provider.facts(ref).status == {"conditions": []})
        assert watched.store.get(ref) is before


async def test_endpoints_of_a_service_follow_its_slices(start, control_plane, kube, namespace):
    await kube.create(SERVICES, namespace, service("web"))
    await kube.create(ENDPOINT_SLICES, namespace, slice_("web-1", "web", "192.0.2.1"))
    await kube.create(SERVICES, namespace, service("foreign"))
    await kube.create(BACKENDS, namespace, backend("b", "web"))
    async with start(control_plane.kubeconfig) as watched:
        ref = ObjectRef("Service", namespace, "web")
        assert watched.store.get(ref).ports == {80: (Endpoint("192.0.2.1", 8080),)}
        assert not watched.has("Service", namespace, "foreign")
        await kube.create(ENDPOINT_SLICES, namespace, slice_("web-2", "web", "192.0.2.2"))
        await watched.until(lambda: len(watched.store.get(ref).ports[80]) == 2)
        await kube.delete(ENDPOINT_SLICES, namespace, "web-1")
        await watched.until(
            lambda: watched.store.get(ref).ports == {80: (Endpoint("192.0.2.2", 8080),)}
        )


async def test_only_secrets_that_are_referred_to_are_held(start, control_plane, kube, namespace):
    await kube.create(SECRETS, namespace, secret("early", b"one"))
    await kube.create(SECRETS, namespace, secret("foreign", b"not yours"))
    async with start(control_plane.kubeconfig) as watched:
        assert not watched.has("Secret", namespace, "early")
        await kube.create(BACKENDS, namespace, backend("b", "web", tls="early"))
        await watched.until(lambda: watched.has("Secret", namespace, "early"))
        assert not watched.has("Secret", namespace, "foreign")
        ref = ObjectRef("Secret", namespace, "early")
        await kube.merge_patch(SECRETS, namespace, "early", {"data": {"ca.crt": "dHdv"}})
        await watched.until(lambda: watched.store.get(ref).data["ca.crt"].reveal() == b"two")
        await kube.delete(BACKENDS, namespace, "b")
        await watched.until(lambda: not watched.has("Secret", namespace, "early"))


async def test_nothing_is_written_to_any_object(start, control_plane, kube: KubeClient, namespace):
    made = await kube.create(UPSTREAMS, namespace, upstream("u"))
    async with start(control_plane.kubeconfig) as watched:
        await kube.create(UPSTREAMS, namespace, upstream("marker"))
        await watched.until(lambda: watched.has("Upstream", namespace, "marker"))
        assert await kube.get(UPSTREAMS, namespace, "u") == made


async def test_a_user_without_a_name_watches_too(
    start, control_plane, kube, namespace, monkeypatch, tmp_path
):
    # as in a container with an arbitrary UID, in every process that starts from here
    tmp_path.joinpath("sitecustomize.py").write_text(
        "import getpass\n"
        "def nobody():\n"
        "    raise KeyError('getpwuid(): uid not found: 1000690000')\n"
        "getpass.getuser = nobody\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    async with start(control_plane.kubeconfig) as watched:
        await kube.create(UPSTREAMS, namespace, upstream("u"))
        await watched.until(lambda: watched.has("Upstream", namespace, "u"))
        await watched.until(lambda: watched.provider.health().watching)
        assert watched.provider.health().watch_restarts == 0
