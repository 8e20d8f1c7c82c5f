"""The page of the API: where things are, in words, safe to show, and opened by a link."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from fluxgate_admin.v2.docs_page import page


def operation(name: str, tag: str, description: str) -> dict[str, Any]:
    answers = {"200": {"description": "`ok` & ``well``"}}
    return {"operationId": name, "tags": [tag], "description": description, "responses": answers}


DOCUMENT: dict[str, Any] = {
    "info": {"title": "The API", "summary": "All of it."},
    "paths": {
        "/livez": {"get": operation("livez", "system", "Whether it answers.")},
        "/v2/keys": {"get": operation("list_keys", "auth", "Keys.")},
        "/v2/routes": {
            "get": operation(
                "list_routes", "routes", "Every `rt_…` there is. More: <b>.\n\nAnd last."
            )
        },
    },
    "components": {"schemas": {"Route": {"properties": {"id": {"type": "string"}}}}},
}
PAGE = page(DOCUMENT)


class Anchors(HTMLParser):
    """Which ids there are, inside an opened ``details`` or not, and what links lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: dict[str, bool] = {}
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if "id" in found:
            self.inside[str(found["id"])] = self.open[-1:] == ["details"]
        if (link := found.get("href")) and link.startswith("#"):
            self.links.append(link[1:])
        if tag in ("details", "summary"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("details", "summary"):
            assert self.open.pop() == tag


def anchors() -> Anchors:
    found = Anchors()
    found.feed(PAGE)
    return found


def test_the_page_begins_with_links_to_its_parts_and_keys_and_probes_come_last() -> None:
    found = anchors()
    assert found.links[:4] == ["tag-routes", "tag-system", "tag-auth", "shapes"]
    assert set(found.links) <= set(found.inside)
    assert PAGE.index("list_routes") < PAGE.index("livez") < PAGE.index("list_keys")


def test_a_link_to_an_operation_or_a_shape_leads_inside_its_details_which_opens_it() -> None:
    found = anchors().inside
    assert found["list_routes"]
    assert found["schema-Route"]


def test_an_operation_is_announced_by_the_first_sentence_of_what_it_does() -> None:
    summary = PAGE.partition("/v2/routes</code>")[2].partition("</summary>")[0]
    assert "Every <code>rt_…</code> there is</span>" in summary
    assert "More" not in summary


def test_backticks_are_code_and_nothing_else_of_a_description_is_markup() -> None:
    assert "More: &lt;b&gt;.</p><p>And last." in PAGE
    assert "<code>ok</code> &amp; <code>well</code>" in PAGE
    assert "`" not in PAGE
    assert "<script" not in PAGE
