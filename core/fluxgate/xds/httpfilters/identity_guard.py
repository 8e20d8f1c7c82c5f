"""Extensions of a route stand between two filters that keep the caller's identity.

What the gateway says about who is calling is remembered before the first extension runs, and
said again behind the last one: whatever a script, a module or a service did to these headers, the
upstream sees what authentication found. The memory is filter state, which none of them can reach:
scripts and modules do not get the functions for it.

Protos: envoy.extensions.filters.http.set_filter_state.v3.Config,
envoy.extensions.filters.http.header_mutation.v3.HeaderMutation.
"""

from __future__ import annotations

from envoy.config.core.v3 import base_pb2 as core_v3
from envoy.config.core.v3 import substitution_format_string_pb2 as substitution_v3
from envoy.extensions.filters.common.set_filter_state.v3 import value_pb2 as filter_state_v3
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2 as mutation_v3
from envoy.extensions.filters.http.set_filter_state.v3 import set_filter_state_pb2 as set_state_v3

from fluxgate.xds import names

_STATE = "fluxgate.identity"


def remember_identity() -> set_state_v3.Config:
    """Stands before the extensions of a route."""
    return set_state_v3.Config(
        on_request_headers=[
            filter_state_v3.FilterStateValue(
                object_key=f"{_STATE}.{header}",
                factory_key="envoy.string",
                format_string=substitution_v3.SubstitutionFormatString(
                    text_format_source=core_v3.DataSource(inline_string=f"%REQ({header})%"),
                    omit_empty_values=True,
                ),
                skip_if_empty=True,
            )
            for header in names.IDENTITY_HEADERS
        ]
    )


def restore_identity() -> mutation_v3.HeaderMutation:
    """Stands behind the extensions of a route."""
    message = mutation_v3.HeaderMutation()
    for header in names.IDENTITY_HEADERS:
        message.mutations.request_mutations.add(remove=header)
        message.mutations.request_mutations.add(append=_said_before(header))
    return message


def _said_before(header: str) -> core_v3.HeaderValueOption:
    return core_v3.HeaderValueOption(
        header=core_v3.HeaderValue(key=header, value=f"%FILTER_STATE({_STATE}.{header}:PLAIN)%"),
        append_action=core_v3.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
