"""Certificate files of a server, read while others replace them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.certificates import Authority

from fluxgate_xds.credentials import TLSFiles, TLSFilesError


def files_in(folder: Path) -> TLSFiles:
    return TLSFiles(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")


def write(folder: Path, authority: Authority) -> None:
    folder.mkdir()
    pair = authority.issue("xds.example.com")
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)
    (folder / "ca.crt").write_bytes(authority.pem)


def test_a_certificate_with_its_key_is_taken(tmp_path: Path) -> None:
    write(tmp_path / "tls", Authority())
    assert files_in(tmp_path / "tls").configuration() is not None


def test_a_key_of_another_certificate_is_refused_by_name(tmp_path: Path) -> None:
    authority = Authority()
    write(tmp_path / "tls", authority)
    (tmp_path / "tls" / "tls.key").write_bytes(authority.issue("xds.example.com").key)
    with pytest.raises(TLSFilesError, match=r"tls\.key is not the key of .*tls\.crt; replace both"):
        files_in(tmp_path / "tls").configuration()


@pytest.mark.parametrize("name", ["tls.crt", "tls.key"])
def test_what_is_no_pem_is_refused_by_name(tmp_path: Path, name: str) -> None:
    write(tmp_path / "tls", Authority())
    (tmp_path / "tls" / name).write_bytes(b"half of it")
    with pytest.raises(TLSFilesError, match=r"tls\.crt and .*tls\.key are not a certificate"):
        files_in(tmp_path / "tls").configuration()


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    write(tmp_path / "tls", Authority())
    (tmp_path / "tls" / "ca.crt").unlink()
    with pytest.raises(FileNotFoundError, match=r"ca\.crt"):
        files_in(tmp_path / "tls").configuration()


def test_the_stamp_follows_the_link_that_the_kubelet_moves(tmp_path: Path) -> None:
    volume = tmp_path / "tls"
    volume.mkdir()
    for name in ("tls.crt", "tls.key", "ca.crt"):
        (volume / name).symlink_to(f"..data/{name}")
    write(volume / "..1", Authority())
    (volume / "..data").symlink_to("..1")
    files = files_in(volume)
    before = files.stamp()
    write(volume / "..2", Authority())
    (volume / "..new").symlink_to("..2")
    (volume / "..new").replace(volume / "..data")
    assert files.stamp() != before
    assert files.configuration() is not None
