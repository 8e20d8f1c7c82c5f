"""Cross-site request forgery: Envoy's CSRF filter.

Proto: envoy.extensions.filters.http.csrf.v3.CsrfPolicy.
"""

from __future__ import annotations

import re

from envoy.config.core.v3 import base_pb2 as core_v3
from envoy.extensions.filters.http.csrf.v3 import csrf_pb2 as csrf_v3
from envoy.type.matcher.v3 import string_pb2 as string_matcher_v3

from fluxgate.ir.policies.csrf import Csrf

_ALWAYS = core_v3.RuntimeFractionalPercent(default_value={"numerator": 100})
_LABELS = "[a-z0-9-]+([.][a-z0-9-]+)*"


def build_csrf(csrf: Csrf) -> csrf_v3.CsrfPolicy:
    """The ``CsrfPolicy`` of a policy."""
    return csrf_v3.CsrfPolicy(
        filter_enabled=_ALWAYS, additional_origins=[_origin(each) for each in csrf.origins]
    )


def _origin(site: str) -> string_matcher_v3.StringMatcher:
    """The filter compares host and port of the origin, which browsers write in lower case."""
    if not site.startswith("*."):
        return string_matcher_v3.StringMatcher(exact=site)
    matcher = string_matcher_v3.StringMatcher()
    matcher.safe_regex.regex = _LABELS + re.escape(site[1:])
    return matcher
