"""Templates: the small language of values in transforms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxgate.ir.policies.transform import Part, Source
from fluxgate.translator.plugins.templates import OF_REQUEST, OF_RESPONSE, parse_template
from fluxgate.xds.httpfilters.header_mutation import format_of


def text(value: str) -> Part:
    return Part(Source.TEXT, value)


@pytest.mark.parametrize(
    ("template", "parts"),
    [
        ("", ()),
        ("plain $5 {x} }", (text("plain $5 {x} }"),)),
        ("${request.id}", (Part(Source.REQUEST_ID),)),
        ("a${client.ip}b", (text("a"), Part(Source.CLIENT_IP), text("b"))),
        ("${request.headers.X-A}", (Part(Source.REQUEST_HEADER, "x-a"),)),
        ("${request.query.A.b}", (Part(Source.REQUEST_QUERY, "A.b"),)),
        ("$${request.id}", (text("${request.id}"),)),
        ("a$${${request.id}", (text("a${"), Part(Source.REQUEST_ID))),
        ("$$${request.id}", (text("$${request.id}"),)),
    ],
)
def test_a_template_has_its_parts(template: str, parts: tuple[Part, ...]) -> None:
    assert parse_template(template, OF_REQUEST) == parts


@pytest.mark.parametrize(
    "template",
    [
        "${", "${}", "${request}", "${request.id", "${request.headers.}", "${request.headers.a b}",
        "${request.headers.a)%}", "${request.headers.a_b}", "${request.body.a}", "${text}",
        "${text.x}", "${response.status}", "${request.id }", "${REQUEST.ID}",
    ],
)  # fmt: skip
def test_what_is_no_value_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"known here|closing"):
        parse_template(template, OF_REQUEST)


def test_an_answer_has_values_of_its_own_and_not_the_query() -> None:
    assert parse_template("${response.status}", OF_RESPONSE) == (Part(Source.RESPONSE_STATUS),)
    with pytest.raises(ValueError, match="known here"):
        parse_template("${request.query.a}", OF_RESPONSE)


@given(st.text(st.characters() | st.sampled_from("${}")).filter(lambda text: "$$" not in text))
def test_escaped_text_stays_text(written: str) -> None:
    parts = parse_template(written.replace("${", "$${"), OF_REQUEST)
    assert "".join(part.name for part in parts) == written
    assert all(part.source is Source.TEXT for part in parts)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.just("%"), min_size=1))
def test_literal_text_never_becomes_a_command_operator_of_envoy(written: str) -> None:
    made = format_of((text(written),))
    assert made.replace("%%", "") == written.replace("%", "")
    assert made.count("%") == 2 * written.count("%")
