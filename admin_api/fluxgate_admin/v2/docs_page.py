"""The OpenAPI document as one HTML page: no scripts, nothing from elsewhere, readable in a terminal browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #777; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 13px/1.5 ui-monospace, monospace; }
pre { border: 1px solid var(--line); padding: .6rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
td, th { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
details { border: 1px solid var(--line); margin: .6rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; }
details > div { scroll-margin-top: 3rem; }
.method { display: inline-block; min-width: 4.5rem; font-weight: 600; }
.quiet { color: var(--quiet); }
nav a { display: inline-block; margin-right: 1rem; }
"""
_CODE = re.compile(r"(`{1,2})([^`]+)\1")
_LAST_TAGS = ("auth", "oauth", "system")
"""What nobody opens the page for comes last."""

Json = Mapping[str, Any]


def page(document: Json) -> str:
    """The page of an OpenAPI document."""
    info = document["info"]
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{_text(info["title"])}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body>"
        f"<h1>{_text(info['title'])}</h1><p>{_prose(info.get('summary', ''))}</p>"
        '<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"{_contents(document)}{''.join(_security(document))}{''.join(_operations(document))}"
        f"{''.join(_schemas(document))}</body></html>\n"
    )


def _contents(document: Json) -> str:
    links = (f'<a href="#tag-{_text(tag)}">{_text(tag)}</a>' for tag in _by_tag(document))
    return f'<nav>{"".join(links)}<a href="#shapes">shapes</a></nav>'


def _by_tag(document: Json) -> dict[str, list[tuple[str, str, Json]]]:
    """Path, method and operation, of each tag; those with :data:`_LAST_TAGS` behind the others."""
    found: dict[str, list[tuple[str, str, Json]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["other"])[0]
            found.setdefault(tag, []).append((path, method, operation))
    return dict(sorted(found.items(), key=lambda each: each[0] in _LAST_TAGS))


def _security(document: Json) -> Iterator[str]:
    schemes = document.get("components", {}).get("securitySchemes", {})
    if not schemes:
        return
    yield "<h2>Authentication</h2><table>"
    for scheme in schemes.values():
        kind = scheme.get("name") or scheme.get("scheme") or scheme["type"]
        yield f"<tr><th>{_text(kind)}</th><td>{_prose(scheme.get('description', ''))}</td></tr>"
    yield "</table>"


def _operations(document: Json) -> Iterator[str]:
    for tag, operations in _by_tag(document).items():
        yield f'<h2 id="tag-{_text(tag)}">{_text(tag)}</h2>'
        for path, method, operation in operations:
            yield from _operation(path, method, operation)


def _operation(path: str, method: str, operation: Json) -> Iterator[str]:
    """One operation. Its anchor is inside: a link to it opens it, without a script (HTML, 7.4.6.4)."""
    name, description = operation["operationId"], operation.get("description", "")
    yield (
        f'<details><summary><span class="method">{_text(method.upper())}</span>'
        f'<code>{_text(path)}</code> <span class="quiet">{_prose(_first_sentence(description))}</span>'
        f'</summary><div id="{_text(name)}"><p>{_prose(description)}</p>'
        f"<p>Operation: <code>{_text(name)}</code>. "
        f"Scope: <code>{_text(operation.get('x-required-scope', ''))}</code></p>"
    )
    if parameters := operation.get("parameters"):
        yield "<h4>Parameters</h4><table>"
        for each in parameters:
            needed = "required" if each.get("required") else ""
            yield (
                f"<tr><th><code>{_text(each['name'])}</code></th><td>{_text(each['in'])} {needed}</td>"
                f"<td>{_type(each.get('schema', {}))}</td><td>{_prose(each.get('description', ''))}</td></tr>"
            )
        yield "</table>"
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<h4>Body</h4><p>{_text(kind)}: {_type(content.get('schema', {}))}</p>"
        yield from _example(content)
    yield "<h4>Answers</h4><table>"
    for status, answer in sorted(operation["responses"].items()):
        yield f"<tr><th>{_text(status)}</th><td>{_prose(answer.get('description', ''))}"
        for content in answer.get("content", {}).values():
            yield f"<br>{_type(content.get('schema', {}))}"
            yield from _example(content)
        yield "</td></tr>"
    yield "</table></div></details>"


def _example(content: Json) -> Iterator[str]:
    shown = [content["example"]] if "example" in content else []
    shown += [each["value"] for each in content.get("examples", {}).values()]
    for each in shown:
        yield f"<pre>{_text(json.dumps(each, indent=2, ensure_ascii=False))}</pre>"


def _schemas(document: Json) -> Iterator[str]:
    yield '<h2 id="shapes">Shapes</h2>'
    for name, schema in sorted(document.get("components", {}).get("schemas", {}).items()):
        yield f"<details><summary><code>{_text(name)}</code></summary>"
        yield f'<div id="schema-{_text(name)}"><p>{_prose(schema.get("description", ""))}</p>'
        required = schema.get("required", ())
        yield "<table>"
        for field, value in schema.get("properties", {}).items():
            needed = "required" if field in required else ""
            yield (
                f"<tr><th><code>{_text(field)}</code></th><td>{needed}</td><td>{_type(value)}</td>"
                f"<td>{_prose(value.get('description', ''))}</td></tr>"
            )
        yield "</table></div></details>"


def _type(schema: Json) -> str:
    """A schema in a few words, with links to the shapes it is made of."""
    if "$ref" in schema:
        name = _text(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(map(_type, schema[key]))
    if "enum" in schema:
        return " or ".join(f"<code>{_text(json.dumps(each))}</code>" for each in schema["enum"])
    if "const" in schema:
        return f"<code>{_text(json.dumps(schema['const']))}</code>"
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map to {_type(schema['additionalProperties'])}"
    return _text(kind)


def _first_sentence(text: str) -> str:
    """As far as the first full stop that ends a sentence."""
    return re.split(r"(?<=\.)\s", text.strip(), maxsplit=1)[0].rstrip(".")


def _prose(text: str) -> str:
    """Paragraphs, with what is in backticks as code."""
    paragraphs = _text(text).replace("\n\n", "</p><p>")
    return _CODE.sub(r"<code>\2</code>", paragraphs)


def _text(value: object) -> str:
    return escape(str(value), quote=True)
