"""One folder a case: ``in.yaml`` is given, ``status.yaml`` and ``xds.yaml`` must come out.

``pytest tests/golden --refresh-goldens`` rewrites the results after an intended change;
read the difference before you commit it.
"""

from pathlib import Path

import pytest
import yaml
from support.dump import CONSTANT, dump_snapshot, dump_statuses
from support.envoy import validate

from fluxgate.api.parse import parse_object
from fluxgate.resources import Resources, ResourceStore
from fluxgate.translator import Translation, translate
from fluxgate.xds.build import build_snapshot
from fluxgate.xds.static import static_bootstrap

CASES = Path(__file__).parent / "cases"
NAMES = sorted(path.name for path in CASES.iterdir() if path.is_dir())
FILES = {"in.yaml", "status.yaml", "xds.yaml"}
SHOWS_EVERYTHING = "listener"
"""The one case whose ``xds.yaml`` also has the parts that are the same in all of them."""


def read(case: str) -> Resources:
    store = ResourceStore()
    for document in yaml.safe_load_all((CASES / case / "in.yaml").read_text()):
        store.upsert(parse_object(document))
    return store.freeze()


def results(case: str, translation: Translation) -> dict[str, str]:
    hidden = () if case == SHOWS_EVERYTHING else CONSTANT
    snapshots = [
        dump_snapshot(build_snapshot(translation.gateways[name]), hidden=hidden)
        for name in sorted(translation.gateways)
    ]
    return {
        "status.yaml": dump_statuses(translation.statuses),
        "xds.yaml": "---\n".join(snapshots),
    }


def test_there_are_cases() -> None:
    assert len(NAMES) >= 25


@pytest.mark.parametrize("case", NAMES)
def test_a_case_comes_out_as_it_did(case: str, *, refresh: bool) -> None:
    made = results(case, translate(read(case)))
    folder = CASES / case
    if refresh:
        for name, text in made.items():
            (folder / name).write_text(text)
        for stale in (path for path in folder.iterdir() if path.name not in FILES):
            stale.unlink()
    assert {path.name for path in folder.iterdir()} == FILES
    for name, text in made.items():
        assert (folder / name).read_text() == text, f"{case}/{name} differs"


@pytest.mark.envoy
@pytest.mark.parametrize("case", NAMES)
def test_the_real_envoy_accepts_a_case(case: str) -> None:
    for gateway in translate(read(case)).gateways.values():
        result = validate(static_bootstrap(build_snapshot(gateway)))
        assert result.ok, result.message


@pytest.mark.parametrize("case", NAMES)
def test_the_order_of_the_documents_does_not_matter(case: str) -> None:
    forward = results(case, translate(read(case)))
    store = ResourceStore()
    documents = list(yaml.safe_load_all((CASES / case / "in.yaml").read_text()))
    for document in reversed(documents):
        store.upsert(parse_object(document))
    assert results(case, translate(store.freeze())) == forward
