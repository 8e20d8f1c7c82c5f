"""FluxGate's pure heart: from resources to Envoy configuration, with no I/O in between.

Nothing below this package may read a clock, a file, the environment or the
network, log, or know asyncio; import-linter enforces it. Everything that needs
I/O is an adapter in one of the sibling packages and hands its facts in as data.
"""
