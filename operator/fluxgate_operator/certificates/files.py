"""Certificate files that servers re-read: in a private folder, replaced all at once."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path


class PrivateFolder:
    """Files behind a link that is replaced in one step, as the kubelet does it (0700, 0600)."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="fluxgate-tls-"))
        self._numbers = itertools.count(1)
        self.path = self._root / "current"

    def replace(self, files: Mapping[str, bytes]) -> None:
        """Put these files in place of the ones there are. Raises ``OSError``."""
        number = next(self._numbers)
        folder, link = self._root / str(number), self._root / f"link-{number}"
        folder.mkdir(mode=0o700)
        for name, content in files.items():
            handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
        link.symlink_to(folder.name)
        link.replace(self.path)
        # the one before stays for whoever is reading it
        shutil.rmtree(self._root / str(number - 2), ignore_errors=True)

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._root, ignore_errors=True)
