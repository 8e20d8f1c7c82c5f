"""What the documentation shows can be used as it stands, and nothing it should name is missing."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from support.documentation import DOCS, GUIDE, PAGES, ROOT, values_files, yaml_blocks
from support.manifests import problems_of

from fluxgate.api.parse import parse_object
from fluxgate.api.v1alpha1 import GROUP
from fluxgate.status import Reason
from fluxgate_operator import metrics_state

CHART = ROOT / "charts" / "fluxgate"
DECISIONS = DOCS / "decisions"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)

Document = dict[str, Any]


def objects() -> Iterator[Any]:
    """Every Kubernetes object in a YAML block of a page."""
    for page in PAGES:
        for line, text in yaml_blocks(page):
            for document in yaml.safe_load_all(text):
                if isinstance(document, dict) and "apiVersion" in document:
                    yield pytest.param(document, id=f"{page.name}:{line}-{document['kind']}")


OBJECTS = list(objects())
OURS = [each for each in OBJECTS if each.values[0]["apiVersion"].startswith(f"{GROUP}/")]
OTHERS = [each for each in OBJECTS if each not in OURS]


def merged(defaults: Document, given: Document) -> Document:
    """As Helm merges values: maps by key, everything else replaced."""
    result = copy.deepcopy(defaults)
    for key, value in given.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def anchor_of(heading: str) -> str:
    """The fragment a heading gets."""
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return kept.replace(" ", "-")


def test_the_pages_show_objects_of_ours_and_of_kubernetes() -> None:
    assert len(OURS) >= 10
    assert len(OTHERS) >= 5


@pytest.mark.parametrize("document", OURS)
def test_an_object_of_ours_is_taken_by_the_models(document: Document) -> None:
    parse_object(document)


@pytest.mark.parametrize("document", OTHERS)
def test_an_object_of_kubernetes_has_no_field_that_is_not_there(document: Document) -> None:
    assert problems_of(document) == []


@pytest.mark.parametrize(("line", "text"), values_files(GUIDE))
def test_a_values_file_has_known_values_and_makes_a_gateway(line: int, text: str) -> None:
    values = merged(yaml.safe_load((CHART / "values.yaml").read_text()), yaml.safe_load(text))
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.validate(values, schema)
    spec = values["gateway"]["config"]
    meta = {"name": "fluxgate"}
    parse_object(
        {"apiVersion": f"{GROUP}/v1alpha1", "kind": "GatewayConfig", "metadata": meta, "spec": spec}
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_to_a_heading_leads_to_one(page: Path) -> None:
    missing = []
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        name, _, fragment = target.partition("#")
        if ":" in target or not fragment:
            continue
        file = (page.parent / name).resolve() if name else page
        if fragment not in map(anchor_of, HEADING.findall(file.read_text())):
            missing.append(target)
    assert missing == []


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text()
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"index.md"}
    # decisions and plugins have an index of their own
    listed = ("decisions/0", "plugins/")
    assert {name for name in pages if name not in index and not name.startswith(listed)} == set()


def test_the_decisions_are_numbered_without_a_gap_and_titled_by_their_number() -> None:
    pages = sorted(page for page in DECISIONS.glob("*.md") if page.name != "README.md")
    titled = [re.match(r"# (\d+)[.:] ", page.read_text()) for page in pages]
    assert [page.name[:4] for page in pages] == [f"{each:04}" for each in range(1, len(pages) + 1)]
    assert [found and int(found[1]) for found in titled] == list(range(1, len(pages) + 1))


@pytest.mark.parametrize("reason", Reason)
def test_the_guide_says_what_to_do_about_a_reason(reason: Reason) -> None:
    assert re.search(rf"^\|.*\| `{reason}` \|", GUIDE.read_text(), re.MULTILINE)


def metric_families() -> set[str]:
    """Without prefix and suffix, as the controller's modules name them."""
    sources = "".join(path.read_text() for path in (ROOT / "operator").rglob("*.py"))
    known = set(re.findall(r'"fluxgate_controller_([a-z_]+)"', sources))
    known |= set(re.findall(r'\{_PREFIX\}([a-z_]+)"', Path(metrics_state.__file__).read_text()))
    return known | set(re.findall(r'\("([a-z_]+)", "[a-z]+", "[^"]+"\): lambda', sources))


def test_the_guide_names_the_metrics_there_are_and_no_others() -> None:
    named = set(re.findall(r"fluxgate_controller_([a-z_]+)", GUIDE.read_text()))
    assert {re.sub(r"_(total|info)$", "", each) for each in named} == metric_families()


def test_the_page_of_commands_names_every_metric() -> None:
    page = (DOCS / "cli.md").read_text()
    assert {each for each in metric_families() if each not in page} == set()


def test_every_command_has_a_row_in_the_page_of_commands() -> None:
    page = (DOCS / "cli.md").read_text()
    folder = ROOT / "cli" / "fluxgate_cli" / "commands"
    commands = {path.stem.rstrip("_").replace("_", "-") for path in folder.glob("[a-z]*.py")}
    assert {name for name in commands if not re.search(rf"^\| `{name}\b", page, re.MULTILINE)} == (
        set()
    )
