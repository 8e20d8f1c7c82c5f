"""Messages that xds-protos lacks: they leave when it has them."""

from importlib.util import find_spec

from envoy.extensions.filters.http.composite.v3 import composite_pb2 as composite_v3
from envoy.extensions.filters.http.oauth2.v3 import oauth_pb2 as oauth_v3

from fluxgate.xds import newer_messages


def test_xds_protos_still_lacks_what_is_written_down_here() -> None:
    assert find_spec("envoy.extensions.filters.http.filter_chain") is None
    assert "OAuth2PerRoute" not in oauth_v3.DESCRIPTOR.message_types_by_name
    assert "CompositePerRoute" not in composite_v3.DESCRIPTOR.message_types_by_name


def test_they_have_the_names_envoy_knows() -> None:
    messages = (
        newer_messages.CompositePerRoute,
        newer_messages.FilterChainConfig,
        newer_messages.FilterChainConfigPerRoute,
        newer_messages.OAuth2PerRoute,
    )
    assert [each.DESCRIPTOR.full_name for each in messages] == [
        "envoy.extensions.filters.http.composite.v3.CompositePerRoute",
        "envoy.extensions.filters.http.filter_chain.v3.FilterChainConfig",
        "envoy.extensions.filters.http.filter_chain.v3.FilterChainConfigPerRoute",
        "envoy.extensions.filters.http.oauth2.v3.OAuth2PerRoute",
    ]
