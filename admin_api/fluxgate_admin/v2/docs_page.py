"""The OpenAPI document as one HTML page: no scripts, nothing from elsewhere, readable in a terminal browser."""

from __future__ import annotations

import json
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
.method { display: inline-block; min-width: 4.5rem; font-weight: 600; }
.quiet { color: var(--quiet); }
"""

Json = Mapping[str, Any]


def page(document: Json) -> str:
    """The page of an OpenAPI document."""
    info = document["info"]
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{_text(info["title"])}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body>"
        f"<h1>{_text(info['title'])}</h1><p>{_text(info.get('summary', ''))}</p>"
        '<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"{''.join(_security(document))}{''.join(_operations(document))}"
        f"{''.join(_schemas(document))}</body></html>\n"
    )


def _security(document: Json) -> Iterator[str]:
    schemes = document.get("components", {}).get("securitySchemes", {})
    if not schemes:
        return
    yield "<h2>Authentication</h2><table>"
    for scheme in schemes.values():
        kind = scheme.get("name") or scheme.get("scheme") or scheme["type"]
        yield f"<tr><th>{_text(kind)}</th><td>{_text(scheme.get('description', ''))}</td></tr>"
    yield "</table>"


def _operations(document: Json) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["other"])[0]
            by_tag.setdefault(tag, []).append("".join(_operation(path, method, operation)))
    for tag, shown in by_tag.items():
        yield f"<h2>{_text(tag)}</h2>{''.join(shown)}"


def _operation(path: str, method: str, operation: Json) -> Iterator[str]:
    name = operation["operationId"]
    yield (
        f'<details id="{_text(name)}"><summary><span class="method">{_text(method.upper())}</span>'
        f'<code>{_text(path)}</code> <span class="quiet">{_text(name)}</span></summary>'
        f"<p>{_text(operation.get('description', ''))}</p>"
        f"<p>Scope: <code>{_text(operation.get('x-required-scope', ''))}</code></p>"
    )
    if parameters := operation.get("parameters"):
        yield "<h4>Parameters</h4><table>"
        for each in parameters:
            needed = "required" if each.get("required") else ""
            yield (
                f"<tr><th><code>{_text(each['name'])}</code></th><td>{_text(each['in'])} {needed}</td>"
                f"<td>{_type(each.get('schema', {}))}</td><td>{_text(each.get('description', ''))}</td></tr>"
            )
        yield "</table>"
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<h4>Body</h4><p>{_text(kind)}: {_type(content.get('schema', {}))}</p>"
        yield from _example(content)
    yield "<h4>Answers</h4><table>"
    for status, answer in sorted(operation["responses"].items()):
        yield f"<tr><th>{_text(status)}</th><td>{_text(answer.get('description', ''))}"
        for content in answer.get("content", {}).values():
            yield f"<br>{_type(content.get('schema', {}))}"
            yield from _example(content)
        yield "</td></tr>"
    yield "</table></details>"


def _example(content: Json) -> Iterator[str]:
    shown = [content["example"]] if "example" in content else []
    shown += [each["value"] for each in content.get("examples", {}).values()]
    for each in shown:
        yield f"<pre>{_text(json.dumps(each, indent=2, ensure_ascii=False))}</pre>"


def _schemas(document: Json) -> Iterator[str]:
    yield "<h2>Shapes</h2>"
    for name, schema in sorted(document.get("components", {}).get("schemas", {}).items()):
        yield f'<details id="schema-{_text(name)}"><summary><code>{_text(name)}</code></summary>'
        yield f"<p>{_text(schema.get('description', ''))}</p>"
        required = schema.get("required", ())
        yield "<table>"
        for field, value in schema.get("properties", {}).items():
            needed = "required" if field in required else ""
            yield (
                f"<tr><th><code>{_text(field)}</code></th><td>{needed}</td><td>{_type(value)}</td>"
                f"<td>{_text(value.get('description', ''))}</td></tr>"
            )
        yield "</table></details>"


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


def _text(value: object) -> str:
    return escape(str(value), quote=True)
