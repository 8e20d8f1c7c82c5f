"""Nothing in the tree belongs to one machine, one registry or one moment."""

from __future__ import annotations

import ipaddress
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Spelled in halves, so that this file does not find itself.
UNFINISHED = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "X" * 3 + r"\b"]))
UNWRITTEN = re.compile("raise NotImplemented" + r"Error\s*$")
INDEX_OPTION = re.compile(
    "|".join(["--index" + "-url", "--extra-index" + "-url", "--find" + "-links"])
)
MACHINE_PATH = re.compile(
    "(?<![A-Za-z0-9_.-])/"
    + "|(?<![A-Za-z0-9_.-])/".join(["wo" + "rk/", "ho" + "me/[a-z]", "Us" + "ers/"])
)
URL_HOST = re.compile(r"\bhttps?://([A-Za-z0-9.-]+)")
ALLOWED_HOSTS = re.compile(
    r"^(?:.*\.)?(?:example\.(?:com|org|net)|localhost|test|invalid|example|local|svc|"
    r"apache\.org|keepachangelog\.com|semver\.org|rfc-editor\.org|envoyproxy\.io|kubernetes\.io|"
    r"github\.com|grpc\.io|opensource\.org|w3\.org|python\.org|json-schema\.org)\.?$"
)


def text_files() -> list[tuple[str, str]]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = []
    for name in filter(None, listing.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        try:
            found.append((name, path.read_bytes().decode()))
        except UnicodeDecodeError:
            continue
    return found


def hits(pattern: re.Pattern[str], *, only: str = "") -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in text_files()
        if name.endswith(only)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_code_is_marked_as_unfinished() -> None:
    assert hits(UNFINISHED, only=".py") == []
    found = hits(UNWRITTEN, only=".py")
    assert [each for each in found if not each.startswith("tests/")] == []


def test_no_file_names_a_package_index() -> None:
    assert hits(INDEX_OPTION) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert hits(MACHINE_PATH) == []


QUOTING = (
    "tests/envoy/test_quickstart.py",
    "tests/envoy/admin/test_the_document.py",
    "tests/unit/admin/test_mapping.py",
)
QUOTED_HOSTS = ("auth.acme.com", "pay.internal.mesh")


def is_allowed(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or ALLOWED_HOSTS.match(host) is not None
    return True


def is_quoted(name: str, host: str) -> bool:
    """Whether a host is one of the admin API's document, in a page or test that quotes its commands."""
    return name in QUOTING and host in QUOTED_HOSTS


def test_urls_lead_to_example_domains_or_to_public_specifications() -> None:
    strange = {
        f"{name}: {host}"
        for name, text in text_files()
        for host in URL_HOST.findall(text)
        if not is_allowed(host) and not is_quoted(name, host)
    }
    assert strange == set()


@pytest.mark.parametrize("host", ["gateway.corp.io", "pypi.evil.net"])
def test_a_strange_host_would_be_noticed(host: str) -> None:
    assert not is_allowed(host)
