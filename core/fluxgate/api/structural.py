"""From a pydantic model to a structural schema of apiextensions.k8s.io/v1."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.rules import Rule

_KEPT = (
    "type",
    "description",
    "enum",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
)

MAX_ENTRIES = 64
"""Bound of a map that names none of its own."""


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The structural schema of ``model``, with its rules and those of every nested model."""
    document = model.model_json_schema(by_alias=True, mode="validation")
    return _Converter(document.get("$defs", {}), _rules_by_name(model)).convert(document)


def _rules_by_name(model: type[BaseModel]) -> dict[str, tuple[Rule, ...]]:
    rules: dict[str, tuple[Rule, ...]] = {}
    waiting: list[type[BaseModel]] = [model]
    while waiting:
        each = waiting.pop()
        if each.__name__ in rules:
            continue
        rules[each.__name__] = each.rules if issubclass(each, Model) else ()
        for field in each.model_fields.values():
            waiting.extend(_models_in(field.annotation))
    return rules


def _validation(rule: Rule) -> dict[str, str]:
    text = f"{rule.field}: {rule.message}" if rule.field else rule.message
    return {"rule": rule.cel, "message": text}


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


class _Converter:
    """Resolves references and unions while it walks a JSON schema."""

    def __init__(self, definitions: dict[str, Any], rules: dict[str, tuple[Rule, ...]]) -> None:
        self._definitions = definitions
        self._rules = rules

    def convert(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The structural form of one node."""
        outer, schema = schema, self._resolve(schema)
        result = {key: schema[key] for key in _KEPT if key in schema}
        for key in ("description", "default"):
            if key in outer and (key == "description" or _is_scalar(outer[key])):
                result[key] = outer[key]
        if "const" in schema:
            result["enum"] = [schema["const"]]
        if "description" in result:
            result["description"] = " ".join(result["description"].split())
        if schema.get("type") == "array":
            result["items"] = self.convert(schema["items"])
        elif schema.get("type") == "object":
            self._convert_object(schema, result)
        elif schema.get("type") == "integer":
            result.setdefault("format", "int64")
        return result

    def _convert_object(self, schema: dict[str, Any], result: dict[str, Any]) -> None:
        if "properties" in schema:
            result["properties"] = {
                name: self.convert(each) for name, each in schema["properties"].items()
            }
            self._add_rules(self._rules.get(schema.get("title", ""), ()), result)
            return
        values = schema.get("additionalProperties", True)
        if values is True:
            result["x-kubernetes-preserve-unknown-fields"] = True
        else:
            result["additionalProperties"] = self.convert(values)
            result.setdefault("maxProperties", MAX_ENTRIES)

    def _add_rules(self, rules: tuple[Rule, ...], result: dict[str, Any]) -> None:
        if validations := [_validation(rule) for rule in rules if not rule.list_keys]:
            result["x-kubernetes-validations"] = validations
        for rule in rules:
            if rule.list_keys:
                listed = result["properties"][rule.field]
                listed["x-kubernetes-list-type"] = "map"
                listed["x-kubernetes-list-map-keys"] = list(rule.list_keys)

    def _resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Follow ``$ref``; of ``X | None`` take X: an absent field is how nothing is said."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return self._resolve(self._definitions[name])
        if "anyOf" in schema:
            given = [each for each in schema["anyOf"] if each.get("type") != "null"]
            if len(given) != 1:
                raise ValueError(f"a union of types has no structural schema: {schema}")
            return self._resolve(given[0])
        return schema


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float | bool)
