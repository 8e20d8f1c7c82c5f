"""One file's bytes to objects and problems, each with its line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fluxgate.api.parse import parse_object
from fluxgate.errors import ResourceError
from fluxgate.resources import Object, ObjectRef, ref_of
from fluxgate_operator.documents import Document, DocumentError, read_documents
from fluxgate_operator.problems import FileProblem

_DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Parsed:
    """One object and the line its document starts at."""

    obj: Object
    line: int


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """What a file says.

    ``broken`` are objects whose document is there but not valid. With ``incomplete``
    some document could not be read at all, so what is missing may not be deleted.
    """

    objects: dict[ObjectRef, Parsed]
    problems: tuple[FileProblem, ...] = ()
    broken: frozenset[ObjectRef] = frozenset()
    incomplete: bool = False


def parse_file(path: Path, data: bytes) -> ParsedFile:
    """Read every document of a file. Never raises for what the file holds."""
    name = str(path)
    try:
        documents, errors = read_documents(data, is_json=path.suffix == ".json")
    except DocumentError as error:
        return ParsedFile({}, (_problem(name, error),), incomplete=True)
    problems = [_problem(name, error) for error in errors]
    objects: dict[ObjectRef, Parsed] = {}
    broken: set[ObjectRef] = set()
    incomplete = bool(errors)
    for document in documents:
        try:
            obj = parse_object(document.content)
        except ResourceError as error:
            problems.extend(_field_problems(name, document, error))
            ref = identity_of(document)
            if ref is None:
                incomplete = True
            else:
                broken.add(ref)
            continue
        ref = ref_of(obj)
        if (first := objects.get(ref)) is not None:
            message = f"already defined in line {first.line} of this file, which stays in force"
            problems.append(FileProblem(name, document.line, 1, message, str(ref)))
            continue
        objects[ref] = Parsed(obj, document.line)
    return ParsedFile(objects, tuple(problems), frozenset(broken), incomplete)


def unreadable_file(path: Path, error: OSError) -> ParsedFile:
    """The outcome of a file that is there and cannot be read."""
    message = f"cannot be read: {error.strerror or error}"
    return ParsedFile({}, (FileProblem(str(path), 0, 0, message),), incomplete=True)


def identity_of(document: Document) -> ObjectRef | None:
    """Kind, namespace and name of a document, when it at least says these."""
    kind, metadata = document.content.get("kind"), document.content.get("metadata")
    if not isinstance(kind, str) or not isinstance(metadata, dict):
        return None
    name, namespace = metadata.get("name"), metadata.get("namespace", _DEFAULT_NAMESPACE)
    if not isinstance(name, str) or not isinstance(namespace, str):
        return None
    return ObjectRef(kind, namespace, name)


def _problem(name: str, error: DocumentError) -> FileProblem:
    return FileProblem(name, error.line, error.column, error.message)


def _field_problems(name: str, document: Document, error: ResourceError) -> list[FileProblem]:
    problems = []
    for each in error.problems:
        line, column = document.locate(each.path) if each.path else (document.line, 1)
        problems.append(FileProblem(name, line, column, str(each), error.subject))
    return problems
