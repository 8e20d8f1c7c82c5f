"""The kinds' camelCase in the snake_case of this API, both ways, led by the kinds' own models.

:func:`patch_model` makes, of a model of a kind, the model of the same thing in a body: every field may be left out
(a PATCH names only what changes) or null (it takes away), and names are in snake_case. What fits
together is the kind's to say, once the document is whole.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from fluxgate.api.v1alpha1 import Model

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)


def to_camel(model: type[BaseModel], value: object) -> Any:  # noqa: ANN401 - JSON
    """``value`` with the names ``model`` knows in its own spelling; other names stay as they are.

    A name that is in camelCase already is left alone, and so are the keys of free maps.
    """
    if not isinstance(value, Mapping):
        return value
    fields = {_snake(name): (name, info) for name, info in model.model_fields.items()}
    renamed: dict[str, Any] = {}
    for key, each in value.items():
        if key in fields:
            name, info = fields[key]
            renamed[info.alias or name] = _camel_in(info.annotation, each)
            continue
        known = (info for name, info in model.model_fields.items() if (info.alias or name) == key)
        found = next(known, None)
        renamed[key] = each if found is None else _camel_in(found.annotation, each)
    return renamed


def _camel_in(annotation: object, value: object) -> Any:  # noqa: ANN401 - JSON
    nested = _nested(annotation)
    if nested is None:
        return value
    if isinstance(value, list):
        return [to_camel(nested, each) for each in value]
    return to_camel(nested, value)


def _nested(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is dict:
        return None
    return next(filter(None, map(_nested, get_args(annotation))), None)


@cache
def patch_model(model: type[Model]) -> type[BaseModel]:
    """The model of a part of a body that becomes a ``model``."""
    fields: dict[str, Any] = {
        name.rstrip("_"): (_body_type(_whole(info)) | None, Field(default=None, **_said(info)))
        for name, info in model.model_fields.items()
    }
    renamed = {name: each for name, each in fields.items() if name not in _KEYWORDS}
    for name in fields.keys() - renamed.keys():
        annotation, _ = fields[name]
        info = model.model_fields[f"{name}_"]
        renamed[f"{name}_"] = (annotation, Field(default=None, alias=name, **_said(info)))
    return create_model(model.__name__, __config__=STRICT, __doc__=model.__doc__, **renamed)


_KEYWORDS = frozenset(("async", "from"))


def _snake(name: str) -> str:
    return name.rstrip("_")


def _said(info: FieldInfo) -> dict[str, Any]:
    return {"description": info.description} if info.description else {}


def _whole(info: FieldInfo) -> Any:  # noqa: ANN401 - a type
    """The annotation of a field with its constraints, which pydantic keeps apart."""
    return _annotated(info.annotation, info.metadata)


def _body_type(annotation: Any) -> Any:  # noqa: ANN401 - a type
    """The type of a field in a body: nested models as theirs, tuples as lists."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return patch_model(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated(_body_type(arguments[0]), arguments[1:])
    if origin in (Union, types.UnionType):
        return Union[tuple(map(_body_type, arguments))]  # noqa: UP007 - made at run time
    if origin is tuple:
        return list[_body_type(arguments[0])]  # type: ignore[misc]  # made at run time
    if origin is dict:
        return dict[tuple(map(_body_type, arguments))]  # type: ignore[misc]  # made at run time
    return annotation


def _annotated(annotation: Any, metadata: Any) -> Any:  # noqa: ANN401 - a type
    """With constraints a JSON schema can say; what only code can check is the kind's to say."""
    kept = tuple(each for each in metadata if not isinstance(each, AfterValidator))
    return Annotated[(annotation, *kept)] if kept else annotation
