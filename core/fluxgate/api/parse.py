"""From a document to a typed resource, or to a list of what is wrong with it.

Documents are checked as strictly as an API server checks them: fields by their
camelCase names, no conversion between numbers and text.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fluxgate.api.documents import join, normalise
from fluxgate.api.secrets import parse_secret
from fluxgate.api.v1alpha1 import API_VERSION, KINDS, Resource
from fluxgate.errors import FieldProblem, ResourceError
from fluxgate.resources import Object


def parse_object(document: Mapping[str, object]) -> Object:
    """The resource that ``document`` describes: one of the kinds, or a core/v1 Secret.

    Raises :class:`ResourceError` with every problem, and never anything else.
    """
    subject = describe(document)
    problems: list[FieldProblem] = []
    normal = normalise(document, "", problems)
    if problems or not isinstance(normal, dict):
        raise ResourceError(subject, tuple(problems) or (FieldProblem("", "is not an object"),))
    if normal.get("apiVersion") == "v1" and normal.get("kind") == "Secret":
        return parse_secret(normal, subject)
    model = _model_of(normal, subject)
    _drop_nulls_of_metadata(normal)
    try:
        # the JSON mode is strict about types, yet takes lists for tuples and text for dates
        return model.model_validate_json(
            json.dumps(normal), strict=True, by_alias=True, by_name=False
        )
    except ValidationError as error:
        raise ResourceError(subject, field_problems(model, error)) from None


def describe(document: Mapping[str, object]) -> str:
    """``Kind namespace/name`` as far as it can be read."""
    metadata = document.get("metadata")
    names = metadata if isinstance(metadata, Mapping) else {}
    kind, name = document.get("kind"), names.get("name")
    namespace = names.get("namespace") or "default"
    shown_kind = kind if isinstance(kind, str) and kind else "object"
    if not isinstance(name, str) or not name:
        return f"{shown_kind} without a name"
    return f"{shown_kind} {namespace}/{name}"


def _model_of(document: dict[str, object], subject: str) -> type[Resource]:
    api_version, kind = document.get("apiVersion"), document.get("kind")
    models = {_kind_name(model): model for model in KINDS}
    problems = []
    if api_version != API_VERSION:
        problems.append(
            FieldProblem(
                "apiVersion", f"is {_shown(api_version)}; known: {API_VERSION}, and v1 for Secret"
            )
        )
    if not isinstance(kind, str) or kind not in models:
        hint = _suggestion(kind, models)
        problems.append(
            FieldProblem(
                "kind", f"is {_shown(kind)}; {hint}known: {', '.join(sorted(models))}, Secret"
            )
        )
    if problems:
        raise ResourceError(subject, tuple(problems))
    return models[str(kind)]


def _kind_name(model: type[Resource]) -> str:
    return str(model.model_fields["kind"].default)


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)


def _drop_nulls_of_metadata(document: dict[str, object]) -> None:
    """``creationTimestamp: null`` is what client libraries write for an object not yet created."""
    metadata = document.get("metadata")
    if isinstance(metadata, dict):
        document["metadata"] = {key: value for key, value in metadata.items() if value is not None}


def field_problems(
    model: type[BaseModel], error: ValidationError, prefix: str = ""
) -> tuple[FieldProblem, ...]:
    """Every problem in ``error``, with its JSON path below ``prefix`` and a remedy."""
    details = error.errors(include_url=False)
    problems: dict[FieldProblem, None] = {}
    for each in details:
        if each["type"] == "too_short" and _has_nested(each, details):
            continue
        for problem in _from_detail(model, each, prefix):
            problems[problem] = None
    return tuple(problems)


def _has_nested(outer: ErrorDetails, details: list[ErrorDetails]) -> bool:
    """Pydantic drops invalid items first and then counts: a follow-up of the nested error."""
    length = len(outer["loc"])
    return any(
        len(each["loc"]) > length and each["loc"][:length] == outer["loc"] for each in details
    )


def _from_detail(model: type[BaseModel], detail: ErrorDetails, prefix: str) -> list[FieldProblem]:
    path = prefix
    for part in detail["loc"]:
        path = join(path, part)
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "rules":
        return [
            FieldProblem(join(path, field) if field else path, message)
            for field, message in context["problems"]
        ]
    if kind == "extra_forbidden":
        return [FieldProblem(path, _unknown_field(model, detail["loc"]))]
    if kind == "missing":
        return [FieldProblem(path, "is required")]
    if kind == "value_error":
        return [FieldProblem(path, str(context.get("error", detail["msg"])))]
    message = detail["msg"][0].lower() + detail["msg"][1:]
    if kind == "string_pattern_mismatch":
        message = f"{detail['input']!r} does not match {context.get('pattern')}"
    return [FieldProblem(path, message)]


def _unknown_field(model: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    parent = _model_at(model, loc[:-1])
    if parent is None:
        return "unknown field"
    names = [field.alias or name for name, field in parent.model_fields.items()]
    hint = _suggestion(loc[-1], names)
    return f"unknown field; {hint}known here: {', '.join(sorted(names))}"


def _suggestion(wrong: object, known: Iterable[str]) -> str:
    if not isinstance(wrong, str):
        return ""
    folded = {each.lower(): each for each in known}
    close = difflib.get_close_matches(wrong.lower().replace("_", ""), folded, n=1, cutoff=0.6)
    meant = folded[close[0]] if close else next(filter(_ends_in(wrong), folded.values()), None)
    return f"did you mean {meant}? " if meant else ""


def _ends_in(word: str) -> Callable[[str], bool]:
    """Whether a camelCase name ends in ``word`` as a word: retryOn in on, description not."""
    capital = word[:1].upper() + word[1:]
    return lambda name: bool(word) and name.endswith(capital)


def _model_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model that the JSON path ``loc`` leads to."""
    for part in loc:
        if isinstance(part, int):
            continue
        aliases = {(field.alias or name): field for name, field in model.model_fields.items()}
        field = aliases.get(part)
        nested = _nested_model(field.annotation) if field else None
        if nested is None:
            return None
        model = nested
    return model


def _nested_model(annotation: object) -> type[BaseModel] | None:
    """The model inside ``X``, ``X | None``, ``tuple[X, ...]`` or ``Annotated[X, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        if nested := _nested_model(argument):
            return nested
    return None
