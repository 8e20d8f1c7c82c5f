"""The API key filter's messages."""

from __future__ import annotations

from dataclasses import replace

from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.lua.v3 import lua_pb2 as lua_v3
from support.keygateway import api_key, gateway, resources, route, route_message

from fluxgate.ir import DirectResponse, KeyAuth
from fluxgate.resources import ObjectRef
from fluxgate.xds import names, typeurl
from fluxgate.xds.httpfilters.api_key_auth import ApiKeyAuth, filter_context

FILTER = ApiKeyAuth()


def _lua() -> lua_v3.Lua:
    (resource,) = FILTER.resources(gateway([api_key("k")]))
    message = lua_v3.Lua()
    assert extension_v3.TypedExtensionConfig.FromString(resource.payload).typed_config.Unpack(
        message
    )
    return message


def test_the_filter_is_off_and_its_configuration_comes_by_ecds_over_ads() -> None:
    message = FILTER.http_filter(gateway())
    assert message is not None
    assert message.disabled
    assert message.name == names.API_KEY_FILTER
    assert message.config_discovery.config_source.WhichOneof("config_source_specifier") == "ads"
    assert list(message.config_discovery.type_urls) == [
        "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
    ]


def test_the_first_key_does_not_change_the_listener() -> None:
    assert FILTER.http_filter(gateway()) == FILTER.http_filter(gateway([api_key("k")]))


def test_one_key_more_changes_only_the_extension_resource() -> None:
    routes = [route("/a", KeyAuth()), route("/b")]
    one, two = gateway([api_key("k")]), gateway([api_key("k"), api_key("l", "key-2")])
    before = {each.name: each.version for each in resources(one)}
    after = {each.name: each.version for each in resources(two)}
    assert [name for name in before if before[name] != after[name]] == [names.API_KEY_FILTER]
    assert FILTER.http_filter(one) == FILTER.http_filter(two)
    assert [route_message(each) for each in routes] == [route_message(each) for each in routes]


def test_equal_keys_give_equal_bytes_whatever_their_order() -> None:
    keys = [api_key(f"k{i}", f"key-{i}") for i in range(5)]
    backwards = gateway(keys)
    backwards = replace(
        backwards, api_keys=replace(backwards.api_keys, keys=backwards.api_keys.keys[::-1])
    )
    assert FILTER.resources(gateway(keys))[0].payload == FILTER.resources(backwards)[0].payload


def test_the_resource_is_an_extension_that_names_every_key_as_its_origin() -> None:
    (resource,) = FILTER.resources(gateway([api_key("k", "key-1"), api_key("l", "key-2")]))
    assert resource.type_url == typeurl.EXTENSION
    assert resource.origins == (
        ObjectRef("ApiKey", "default", "key-1"),
        ObjectRef("ApiKey", "default", "key-2"),
    )


def test_the_configuration_holds_digests_and_never_a_key() -> None:
    key = "flc_service_veryRecognisable"
    (resource,) = FILTER.resources(gateway([api_key(key)]))
    assert key.encode() not in resource.payload
    assert api_key(key).sha256.encode() in resource.payload


def test_the_script_does_not_clear_the_route_cache() -> None:
    assert _lua().HasField("clear_route_cache")
    assert not _lua().clear_route_cache.value


def test_a_route_that_asks_for_nothing_special_has_an_empty_policy() -> None:
    assert filter_context(KeyAuth(), "")["policy"] == ""


def test_a_policy_says_what_differs_from_the_strict_default() -> None:
    auth = KeyAuth(required=False, query=True, scopes=("a:read", "b"), audiences=("anon",))
    assert filter_context(auth, "demo")["policy"] == (
        "optional=true;query=true;scopes=a:read b;audiences=anon;plan=demo"
    )


def test_a_hostile_scope_cannot_loosen_a_policy() -> None:
    policy = filter_context(KeyAuth(scopes=("x;optional=true",)), "")["policy"]
    assert policy == "scopes=x%3Boptional=true"


def test_a_route_with_keys_turns_the_filter_on() -> None:
    message = route_message(route("/a", KeyAuth()))
    assert names.API_KEY_FILTER in message.typed_per_filter_config
    assert not message.request_headers_to_remove


def test_a_route_without_keys_drops_key_headers_on_the_way_to_the_upstream() -> None:
    message = route_message(route("/a"))
    assert names.API_KEY_FILTER not in message.typed_per_filter_config
    assert tuple(message.request_headers_to_remove) == names.CREDENTIAL_HEADERS


def test_a_direct_response_has_no_upstream_to_protect() -> None:
    message = route_v3.Route()
    FILTER.patch_route(replace(route("/a"), action=DirectResponse(200)), message)
    assert not message.request_headers_to_remove
