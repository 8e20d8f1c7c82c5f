"""The dry run by the real Envoy: ``envoy --mode validate``, bounded and cached."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import tempfile
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3

from fluxgate_operator.envoy.bootstrap import RUNTIME
from fluxgate_operator.envoy.logs import parse_line
from fluxgate_operator.envoy.words import concise

_CACHED = 256
_EXPLAINING = ("wasm",)
"""Loggers that say why, where the error itself says only that something cannot be created."""
_ERROR = re.compile(r"error initializing configuration '[^']*': ?(.*)", re.DOTALL)


class Verdict(StrEnum):
    """What came of a dry run."""

    OK = "Ok"
    REJECTED = "Rejected"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Validation:
    """A verdict with Envoy's words; UNKNOWN when Envoy did not answer in time.

    ``remembered``: Envoy was asked about the very same configuration before. ``absent``: it is UNKNOWN because
    there is no Envoy to ask, now or later.
    """

    verdict: Verdict
    message: str = ""
    remembered: bool = field(default=False, compare=False)
    absent: bool = False

    @property
    def ok(self) -> bool:
        """Whether Envoy accepted the configuration."""
        return self.verdict is Verdict.OK


class EnvoyValidator:
    """Runs ``envoy --mode validate`` at most ``parallel`` times at once, each in ``timeout`` s."""

    def __init__(self, binary: Path, timeout: float = 20.0, parallel: int = 2) -> None:
        self._binary = binary
        self._timeout = timeout
        self._slots = asyncio.Semaphore(parallel)
        self._cache: OrderedDict[bytes, Validation] = OrderedDict()

    async def validate(self, bootstrap: bootstrap_v3.Bootstrap) -> Validation:
        """Whether Envoy accepts this complete static bootstrap."""
        payload = await asyncio.to_thread(_payload, bootstrap)
        key = hashlib.sha256(payload).digest()
        if (known := self._cache.get(key)) is not None:
            self._cache.move_to_end(key)
            return replace(known, remembered=True)
        async with self._slots:
            try:
                found = await self._run(payload)
            except OSError as error:  # no room for the file, no process to be had
                found = Validation(Verdict.UNKNOWN, f"Envoy could not be asked: {error}")
        if found.verdict is not Verdict.UNKNOWN:
            self._cache[key] = found
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        return found

    async def _run(self, payload: bytes) -> Validation:
        with tempfile.TemporaryDirectory(prefix="fluxgate-validate-") as folder:
            path = Path(folder) / "bootstrap.pb"
            await asyncio.to_thread(path.write_bytes, payload)
            process = await asyncio.create_subprocess_exec(
                self._binary,
                *("--mode", "validate", "--config-path", path),
                *("--disable-hot-restart", "--log-level", "warning", "--concurrency", "1"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                async with asyncio.timeout(self._timeout):
                    _, stderr = await process.communicate()
            except TimeoutError:
                return Validation(
                    Verdict.UNKNOWN, f"Envoy did not answer within {self._timeout:g} s"
                )
            finally:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()
        if process.returncode == 0:
            return Validation(Verdict.OK)
        message = envoy_words(stderr.decode("utf-8", "replace"))
        if process.returncode is not None and process.returncode < 0:
            return Validation(Verdict.UNKNOWN, f"Envoy was killed: {message}")
        return Validation(Verdict.REJECTED, message)


def _payload(bootstrap: bootstrap_v3.Bootstrap) -> bytes:
    return bytes(with_runtime(bootstrap).SerializeToString(deterministic=True))


def with_runtime(bootstrap: bootstrap_v3.Bootstrap) -> bootstrap_v3.Bootstrap:
    """The bootstrap with the runtime values our Envoys run with, unless it has its own."""
    if bootstrap.HasField("layered_runtime"):
        return bootstrap
    result = bootstrap_v3.Bootstrap()
    result.CopyFrom(bootstrap)
    layer = result.layered_runtime.layers.add(name="fluxgate")
    layer.static_layer.update(dict(RUNTIME))
    return result


def envoy_words(log: str) -> str:
    """What Envoy says is wrong, out of its log; without the dump of the whole configuration."""
    entries: list[str] = []
    causes: list[str] = []
    for line in map(parse_line, log.splitlines()):
        if line.logger in _EXPLAINING and line.level >= logging.ERROR:
            causes.append(line.message)
        if line.logger or not entries:
            entries.append(line.message)
        else:
            entries[-1] += f"\n{line.message}"
    found = [match[1] for entry in entries if (match := _ERROR.search(entry))]
    words = found[0] if found else "\n".join(entries[-3:])
    return concise("; ".join((words, *dict.fromkeys(causes))))
