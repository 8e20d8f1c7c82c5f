"""What a Route matches: path, method, headers, query, cookies, class of credential."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from fluxgate.api.v1alpha1.balancing import TokenName
from fluxgate.api.v1alpha1.base import HeaderName, Line, Model, Name
from fluxgate.api.v1alpha1.path_rules import PATH_RULES
from fluxgate.api.v1alpha1.patterns import (
    LINE_PATTERN,
    MAX_REGEX_LENGTH,
    TEMPLATE_PATTERN,
    check_regex,
    check_template,
)
from fluxgate.api.v1alpha1.policy import Method
from fluxgate.api.v1alpha1.rules import Rule

_TEMPLATE = re.compile(TEMPLATE_PATTERN)


def _blame_value(check: Callable[[str], str], value: str) -> None:
    """Run ``check``; report its ``ValueError`` on the field ``value``."""
    try:
        check(value)
    except ValueError as error:
        problems = (("value", str(error)),)
        raise PydanticCustomError(
            "rules", "{text}", {"text": str(error), "problems": problems}
        ) from None


class PathMatch(Model):
    """A match on the normalised path, without the query string.

    ``Exact`` compares the whole path. ``Prefix`` matches whole segments: ``/a``
    matches ``/a`` and ``/a/b``, not ``/ab``. ``Template`` has ``{name}`` for one
    segment, ``{name=**}`` at the end for the rest. ``Regex`` is RE2 and matches
    the whole path.
    """

    type: Literal["Exact", "Prefix", "Template", "Regex"] = "Prefix"
    value: Annotated[
        str, StringConstraints(pattern=LINE_PATTERN, min_length=1, max_length=MAX_REGEX_LENGTH)
    ] = "/"

    rules: ClassVar[tuple[Rule, ...]] = PATH_RULES

    @model_validator(mode="after")
    def _check_syntax(self) -> Self:
        if self.type == "Regex":
            _blame_value(check_regex, self.value)
        if self.type == "Template" and _TEMPLATE.match(self.value):
            _blame_value(check_template, self.value)
        return self


class _ValueMatch(Model):
    """A match on one named value of a request."""

    name: Name
    type: Literal["Exact", "Regex", "Present", "Absent"] = "Exact"
    value: Line = ""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "value",
            "Present and Absent compare no value; remove it, or use Exact or Regex",
            "self.type in ['Exact', 'Regex'] || self.value == ''",
            lambda self: self.type in ("Exact", "Regex") or not self.value,
        ),
        Rule(
            "value",
            "a Regex needs a value; use Present to match any",
            "self.type != 'Regex' || self.value != ''",
            lambda self: self.type != "Regex" or bool(self.value),
        ),
    )

    @model_validator(mode="after")
    def _check_syntax(self) -> Self:
        if self.type == "Regex" and self.value:
            _blame_value(check_regex, self.value)
        return self


class HeaderMatch(_ValueMatch):
    """A match on one request header."""

    name: HeaderName


class QueryParamMatch(_ValueMatch):
    """A match on one query parameter."""


class CookieMatch(_ValueMatch):
    """A match on one cookie of the request (RFC 6265)."""

    name: TokenName
    type: Literal["Exact", "Regex", "Present"] = "Exact"


class RouteMatch(Model):
    """One set of conditions; all of them must hold."""

    path: PathMatch = PathMatch()
    methods: Annotated[tuple[Method, ...], Field(max_length=9)] = Field(
        default=(), description="Empty means any method."
    )
    headers: Annotated[tuple[HeaderMatch, ...], Field(max_length=16)] = ()
    query_params: Annotated[tuple[QueryParamMatch, ...], Field(max_length=16)] = ()
    cookies: Annotated[tuple[CookieMatch, ...], Field(max_length=16)] = ()
    credential: Literal["ApiKey", "JWT", "None"] | None = Field(
        default=None, description="Only requests that present this class of credential."
    )
