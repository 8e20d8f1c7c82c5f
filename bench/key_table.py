"""How large the table of API keys is, and how long the control plane takes to write it.

python -m bench.key_table
"""

from __future__ import annotations

import hashlib
import sys
import time

from fluxgate.ir import ApiKeyIR, ApiKeyTable
from fluxgate.resources import ObjectRef
from fluxgate.xds.httpfilters.api_key_auth import lua_source

SIZES = (1_000, 10_000, 100_000)


def table(count: int) -> ApiKeyTable:
    """``count`` keys of a hundred tenants, sorted by digest."""
    keys = [
        ApiKeyIR(
            origin=ObjectRef("ApiKey", "default", f"key-{index}"),
            sha256=hashlib.sha256(f"flc_service_{index}".encode()).hexdigest(),
            key_id=f"default/key-{index}",
            tenant=f"tenant-{index % 100}",
            subject=f"default/key-{index}",
            scopes=("orders:read",),
            plan="pro",
        )
        for index in range(count)
    ]
    return ApiKeyTable(("flc_service_",), tuple(sorted(keys, key=lambda key: key.sha256)))


def main() -> int:
    """Print one line a size."""
    for count in SIZES:
        keys = table(count)
        started = time.process_time()
        source = lua_source(keys)
        spent = (time.process_time() - started) * 1000
        print(f"{count:7} keys: {len(source) / 1e6:6.2f} MB, written in {spent:7.1f} ms of CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
