"""An OpenAPI document (3.0, 3.1), read, with the references inside it followed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fluxgate_cli.errors import InvalidResourcesError, UsageError
from fluxgate_operator.documents import MAX_FILE_BYTES, DocumentError, read_documents

_DEEPEST = 32
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth knowing: ``place`` is a JSON pointer. With ``lost``, something could not be expressed."""

    place: str
    message: str
    lost: bool = True


@dataclass(slots=True)
class OpenApi:
    """The document, and what there is to say about it so far."""

    root: Json
    notes: list[Note] = field(default_factory=list)

    def note(self, place: str, message: str, *, lost: bool = True) -> None:
        """Tell something, once."""
        found = Note(place, message, lost)
        if found not in self.notes:
            self.notes.append(found)

    def resolve(self, node: object, place: str) -> Json:
        """``node``, or what its ``$ref`` leads to; what stands beside the reference wins (3.1, path items).

        Empty, with a note, where it leads nowhere or out of the document.
        """
        beside: dict[str, Any] = {}
        for _ in range(_DEEPEST):
            if not isinstance(node, Mapping):
                self.note(place, "is not an object")
                return {}
            ref = node.get("$ref")
            if ref is None:
                return {**node, **beside}
            beside = {**{key: each for key, each in node.items() if key != "$ref"}, **beside}
            if not isinstance(ref, str) or not ref.startswith("#"):
                self.note(place, f"refers to {ref!r}, outside the document; only # is followed")
                return beside
            node = self._at(ref[1:])
            if node is None:
                self.note(place, f"refers to {ref!r}, which is not there")
                return beside
        self.note(place, "refers to itself")
        return {}

    def _at(self, pointer: str) -> object:
        here: object = self.root
        for part in pointer.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(here, Mapping):
                here = here.get(key)
            elif isinstance(here, list) and key.isdigit() and int(key) < len(here):
                here = here[int(key)]
            else:
                return None
        return here


def read_openapi(path: Path) -> OpenApi:
    """The document in a YAML or JSON file. Raises :class:`UsageError`, :class:`InvalidResourcesError`."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UsageError(f"{path} has more than {MAX_FILE_BYTES:,} bytes")
        documents, errors = read_documents(path.read_bytes(), is_json=path.suffix == ".json")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except DocumentError as error:
        raise InvalidResourcesError(f"{path}: {error}") from None
    if errors or len(documents) != 1:
        reason = str(errors[0]) if errors else f"holds {len(documents)} documents instead of one"
        raise InvalidResourcesError(f"{path}: {reason}")
    root = documents[0].content
    version = str(root.get("openapi") or "")
    if not version.startswith(("3.0", "3.1")):
        said = (
            f"OpenAPI {version}"
            if version
            else f"Swagger {root['swagger']}"
            if "swagger" in root
            else "no OpenAPI"
        )
        raise InvalidResourcesError(f"{path} is {said}; 3.0 and 3.1 are read")
    return OpenApi(root)
