"""What commands that change one thing have in common: how it is changed, and what is said of it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from fluxgate.resources import ObjectRef
from fluxgate_admin.ids import PREFIXES, public_id
from fluxgate_cli.admin_client.api import AdminApi, Query, connected, segment
from fluxgate_cli.admin_client.errors import body_of
from fluxgate_cli.errors import CliError, NotReadyError, RefusedError, UsageError
from fluxgate_cli.output import DataFormat, print_as, print_data, say

SERVED = "propagated_to_all_nodes"
_FIELDS = ("FIELD", "VALUE")


@dataclass(frozen=True, slots=True)
class Write:
    """How a change is made; see the options of the same names."""

    reason: str = ""
    dry_run: bool = False
    wait: bool = True
    seconds: float = 60.0
    force: bool = False
    if_match: str | None = None

    @property
    def query(self) -> Query:
        """As the API takes it."""
        return {
            "reason": self.reason,
            "dry_run": True if self.dry_run else None,
            "wait": "all" if self.wait else "none",
            "timeout": self.seconds if self.wait and self.seconds > 0 else None,
            "force": True if self.force else None,
        }

    @property
    def headers(self) -> dict[str, str]:
        """The precondition."""
        return {} if self.if_match is None else {"if-match": f'"{self.if_match.strip(chr(34))}"'}

    def ask(self, api: AdminApi, method: str, path: str, body: object = None) -> httpx.Response:
        """The answer to the change. Raises the :class:`CliError` of a refusal."""
        return api.ask(method, path, self.query, body, self.headers)


@contextlib.contextmanager
def one_object(
    api: str | None, kind: str, collection: str, named: str, namespace: str | None
) -> Iterator[tuple[AdminApi, str]]:
    """The API, and the path there of what a person names: an id, a name, or ``namespace/name``.

    When it is not there, it is said so by the name that was given, and not by the id made of it.
    """
    with connected(api, place_of(named, namespace)) as connection:
        where = namespace or connection.context.namespace
        public = id_of(kind, named, where)
        try:
            yield connection, f"{collection}/{segment(public)}"
        except RefusedError as error:
            if public == named or error.status != 404 or f"{kind} {public}" not in error.message:
                raise
            shown = named if "/" in named else f"{where}/{named}"
            text = f"there is no {kind} {shown}, or this credential does not see it"
            raise RefusedError(text, error.remedy, status=404) from None


def create_object(
    api: str | None, collection: str, body: dict[str, Any], namespace: str | None, write: Write
) -> httpx.Response:
    """The answer to a new object; its body may say its namespace, else ``namespace`` and the context do."""
    with connected(api, body.get("namespace") or namespace) as connection:
        if where := namespace or connection.context.namespace:
            body = {"namespace": where, **body}
        return write.ask(connection, "POST", collection, body)


def id_of(kind: str, named: str, namespace: str | None) -> str:
    """The public id of what a person names: an id, a name, or ``namespace/name``.

    A name stays one where nobody says a namespace: the server knows where it puts such objects, and finds it there.
    """
    if named.startswith(f"{PREFIXES[kind]}_"):
        return named
    first, slash, name = named.partition("/")
    if slash:
        return public_id(ObjectRef(kind, first, name))
    return public_id(ObjectRef(kind, namespace, named)) if namespace else named


def place_of(named: str, namespace: str | None) -> str | None:
    """The namespace of what a person names, as far as it is said."""
    first, slash, _ = named.partition("/")
    return first if slash else namespace


def read_body(text: str | None, file: str | None) -> dict[str, Any]:
    """The object in ``text``, or in a file (``-``: standard input); JSON or YAML."""
    if (text is None) == (file is None):
        raise UsageError("give the body once", "Either --data '{…}' or --file FILE.")
    try:
        if file == "-":
            text = sys.stdin.read()
        elif file is not None:
            text = Path(file).read_text(encoding="utf-8")
        found = yaml.safe_load(text or "")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UsageError("the body is neither JSON nor YAML") from None
    if not isinstance(found, dict):
        raise UsageError("the body is not an object")
    return found


def tell(response: httpx.Response, output: DataFormat, what: str, *, deleted: bool = False) -> None:
    """Print the answer to a write. Raises :class:`NotReadyError` when not every node serves it."""
    body = dict(body_of(response))
    if "diff" in body and "valid" in body:
        _tell_trial(body, output, what)
        return
    status = body.get("sync_status") or SERVED
    shown = body or {"status": "deleted" if deleted else "done", "sync_status": status}
    print_object(shown, output)
    _warn(body, what)
    if response.status_code == 202:
        nodes = (f"{each['node']}: {each['message']}" for each in body.get("pending_nodes") or ())
        why = "; ".join(filter(None, (body.get("sync_message"), *nodes)))
        raise NotReadyError(f"{what} is stored, and not every node serves it yet ({status})", why)


def _warn(body: dict[str, Any], what: str) -> None:
    for each in body.get("warnings") or ():
        say(f"warning: {each.get('pointer') or what}: {each['message']}")


def print_object(body: dict[str, Any], output: DataFormat) -> None:
    """Print one object, as a table with a row for each of its fields."""
    print_as(output, body, _FIELDS, _key_rows(body))


def _key_rows(body: dict[str, Any]) -> list[tuple[str, str]]:
    """One object for people: its fields, nested ones as YAML in one line."""
    rows = []
    for key, value in body.items():
        if value is None or value in ([], {}):
            continue
        text = value if isinstance(value, str) else _short(value)
        rows.append((key, text))
    return rows


def _short(value: object) -> str:
    dumped = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return dumped.removesuffix("\n").removesuffix("\n...")


def _tell_trial(body: dict[str, Any], output: DataFormat, what: str) -> None:
    if output is not DataFormat.TABLE:
        print_as(output, body, (), ())
    else:
        for each in body["diff"]["objects"]:
            print_data(each["diff"])
        changes = [
            f"{each['change']} {each['type']} {each['name']}" for each in body["diff"]["envoy"]
        ]
        if changes:
            print_data("Envoy: " + ", ".join(changes))
    _warn(body, what)
    if not body["valid"]:
        raise CliError(f"{what} would not be served as written")
    say(f"{what} would be served, as {_finders(body)}; nothing was changed")


def _finders(trial: dict[str, Any]) -> str:
    if trial["checked_by_envoy"]:
        return "the real Envoy finds"
    why = trial["note"] or "nothing changes for it"
    return f"the models and references find; Envoy was not asked: {why}"
